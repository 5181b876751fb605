/** Where a setting of the daemon is given, for messages: "(in .env or the environment, or with serve --python)". */
export const whereToSet = (setting: string): string =>
  `(in .env or the environment, or with serve --${setting.toLowerCase().replaceAll("_", "-")})`;
