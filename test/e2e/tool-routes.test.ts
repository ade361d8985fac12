import { execFile } from "node:child_process";
import { tmpdir } from "node:os";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { InspectorWorld } from "./inspector-world.ts";

const run = promisify(execFile);

describe("the tools of the local API", () => {
  let world: InspectorWorld;
  beforeAll(async () => {
    world = await InspectorWorld.start();
  });
  afterAll(() => world[Symbol.asyncDispose]());

  it("give a command that sends a binary body through the tunnel again", async () => {
    const body = Buffer.from([0, 1, 255, 39, 10]);
    const bytes = world.bytes("POST /bin?x=1 HTTP/1.1", ["X-A: it's", `Content-Length: ${body.length}`], body);
    const { id } = await world.record(bytes, "path=/bin");
    const { status, text } = await world.api(`/api/requests/http/${id}/curl`);
    expect(status).toBe(200);
    expect(text).toContain(`curl -sS ${world.web}/api/requests/http/${id}/request-body | \\\n`);
    const before = world.origin.requests.length;
    await run("bash", ["-c", text], { env: { PATH: process.env["PATH"], HOME: tmpdir() } });
    const again = await world.origin.request(before);
    expect(again).toMatchObject({ method: "POST", target: "/bin?x=1" });
    expect(again.bytes.equals(body)).toBe(true);
    for (const form of ["fetch", "httpie"])
      expect((await world.api(`/api/requests/http/${id}/${form}`)).text).toContain("/bin?x=1");
    expect((await world.api("/api/requests/http/nope/curl")).json.error_code).toBe("ERR_GGROK_EXCHANGE_UNKNOWN");
  });

  it("export by id and by filter, and take it back", async () => {
    const { id } = await world.record(world.bytes("GET /har?a=1 HTTP/1.1", ["X-T: 1", "x-t: 2"]), "path=/har");
    await world.record(world.bytes("GET /not-this HTTP/1.1", []), "path=/not-this");
    const byId = (await world.api(`/api/requests/har?ids=${id}`)).json;
    const byFilter = (await world.api("/api/requests/har?path=/har")).json;
    expect(byId).toEqual(byFilter);
    expect(byId.log.entries).toHaveLength(1);
    expect((await world.api("/api/requests/har?ids=nope")).json.error_code).toBe("ERR_GGROK_EXCHANGE_UNKNOWN");
    const { status, json } = await world.post("/api/requests/har", byId);
    expect({ status, json }).toEqual({ status: 200, json: { imported: 1, ids: [`${id}~2`], skipped: [] } });
    const imported = await world.exchange("path=/har");
    expect(imported).toMatchObject({ id: `${id}~2`, imported: true, replayable: true });
    const { json: replay } = await world.replay({ id: imported.id });
    expect(replay.replays[0].status_code).toBe(200);
  });

  it("name a file for a body that is not stored, rather than an address that has none", async () => {
    const { json: har } = await world.api(`/api/requests/har?ids=${(await world.exchange("path=/har")).id}`);
    const [entry] = har.log.entries;
    const request = { ...entry.request, method: "POST", url: "http://a.example/absent", bodySize: 70_000 };
    const absent = { ...entry, request, _ggrok: undefined };
    const { json } = await world.post("/api/requests/har", { log: { entries: [absent] } });
    const [id] = json.ids;
    const copy = async (form: string): Promise<string> => (await world.api(`/api/requests/http/${id}/${form}`)).text;
    expect(await copy("curl")).toContain(`--data-binary @${id}-request`);
    expect(await copy("httpie")).toContain(`< ${id}-request`);
    for (const form of ["curl", "fetch", "httpie"]) expect(await copy(form)).not.toContain("request-body");
  });

  it("refuse what is no HAR, and lose nothing", async () => {
    const { stats } = (await world.api("/api/requests/http?limit=1")).json;
    for (const body of ["{", '{"log":{}}', "[]", '{"log":{"entries":7}}']) {
      const { status, json } = await world.post("/api/requests/har", body);
      expect(status).toBe(400);
      expect(json.error_code).toMatch(/^ERR_GGROK_(?:HAR_INVALID|API_REQUEST_INVALID)$/);
    }
    const partly = await world.post("/api/requests/har", { log: { entries: [{}, 7, null] } });
    expect(partly.json).toMatchObject({ imported: 0, skipped: [{ index: 0 }, { index: 1 }, { index: 2 }] });
    expect((await world.api("/api/requests/http?limit=1")).json.stats.count).toBe(stats.count);
  });
});
