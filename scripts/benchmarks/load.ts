/** A light HTTP load: raw sockets, pipelined by one, so that the client costs less than the server. */

const CONNECTIONS = 16;

/** Requests a second that were answered with 200 within `durationMs`. */
export const requestsPerSecond = async (
  port: number,
  path: string,
  headers: string,
  durationMs: number,
): Promise<number> => {
  const request = `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n`;
  let answered = 0;
  let running = true;
  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      let received = 0;
      let length = -1;
      void Bun.connect({
        hostname: "127.0.0.1",
        port,
        socket: {
          open: (socket) => void socket.write(request),
          data(socket, chunk) {
            received += chunk.length;
            if (length < 0) {
              const head = chunk.toString("latin1");
              if (!head.startsWith("HTTP/1.1 200")) return reject(new Error(head.split("\r\n")[0]));
              const size = /content-length: (\d+)/i.exec(head);
              length = head.indexOf("\r\n\r\n") + 4 + Number(size?.[1] ?? Number.NaN);
            }
            if (received < length) return;
            answered += 1;
            received = 0;
            // Every answer is alike, so that its length is known from the first one.
            if (running) socket.write(request);
            else {
              socket.end();
              resolve();
            }
          },
          error: (_, error) => reject(error),
        },
      });
    });
  const began = performance.now();
  const all = Array.from({ length: CONNECTIONS }, one);
  await Bun.sleep(durationMs);
  running = false;
  await Promise.all(all);
  return (answered / (performance.now() - began)) * 1000;
};
