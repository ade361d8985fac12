import { describe, expect, it } from "vitest";
import { splitInvite } from "./invite.ts";

describe("splitInvite", () => {
  it.each([
    ["relay.example.com", { relay: "relay.example.com", token: undefined }],
    ["https://relay.example.com/#ggrok_abc", { relay: "https://relay.example.com/", token: "ggrok_abc" }],
    ["https://relay.example.com#a#b", { relay: "https://relay.example.com", token: "a#b" }],
  ])("reads %s", (text, invite) => {
    expect(splitInvite(text)).toEqual(invite);
  });
  it.each(["https://relay.example.com/#", "relay# ", "relay#a b"])("refuses %s and does not repeat it", (text) => {
    expect(() => splitInvite(text)).toThrow(/^the link has no token/u);
  });
});
