/** What `ctl ls` is held against: the least that a compiled client can do, one request and its answer printed. */

const [url = "", key = ""] = process.argv.slice(2);
const answer = await fetch(`${url}/instances`, { headers: { "X-API-Key": key } });
process.stdout.write(await answer.text());

export {};
