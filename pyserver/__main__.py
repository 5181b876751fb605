"""`python FOLDER`, where FOLDER holds the package: how the daemon runs it.

Python puts this folder first on `sys.path`, and not the working directory as `-m` does, so that no file that lies
there is taken for one of Python's modules.
"""

from solar_pyserver.__main__ import script

script()
