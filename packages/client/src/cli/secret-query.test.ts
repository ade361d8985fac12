import { describe, expect, it } from "vitest";
import { hideSecrets } from "./secret-query.ts";

describe("hideSecrets", () => {
  it.each([
    ["/a?token=abc", "/a?token=redacted"],
    ["/a?x=1&access_token=abc&y=2", "/a?x=1&access_token=redacted&y=2"],
    ["/a?accessToken=abc", "/a?accessToken=redacted"],
    ["/a?API-KEY=abc&apikey=def", "/a?API-KEY=redacted&apikey=redacted"],
    ["/a?user%5Bpassword%5D=abc", "/a?user%5Bpassword%5D=redacted"],
    ["/a?X-Amz-Signature=abc;sid=7", "/a?X-Amz-Signature=redacted;sid=redacted"],
    ["/callback?code=abc&state=x", "/callback?code=redacted&state=x"],
    ["/a?token=a=b", "/a?token=redacted"],
    ["/a?%zz=1&jwt=e.y.J", "/a?%zz=1&jwt=redacted"],
  ])("takes the secret out of %s", (target, shown) => {
    expect(hideSecrets(target)).toBe(shown);
  });

  it.each([
    "/",
    "/token=abc",
    "/a?",
    "/a?b",
    "/a?token",
    "/a?token=",
    "/a?=abc",
    "/a?keyboard=us&monkey=1&author=x&codec=h264",
  ])("leaves %s as it is", (target) => {
    expect(hideSecrets(target)).toBe(target);
  });
});
