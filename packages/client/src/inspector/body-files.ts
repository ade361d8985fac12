import { readdirSync, rmSync, unlink } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { makePrivateFolder } from "../config/private-folder.ts";
import type { BodyFile, DraftBodies } from "./exchange-record.ts";

/** The folder of large bodies beside a history. Who writes them hands them over by name. */
export class BodyFiles {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
    makePrivateFolder(folder);
  }

  /** @returns undefined where someone has removed it by hand */
  async read(name: string): Promise<Buffer | undefined> {
    try {
      return await readFile(join(this.folder, name));
    } catch {
      return undefined;
    }
  }

  remove(name: string | undefined): void {
    if (name !== undefined) unlink(join(this.folder, name), ignore);
  }

  /** Removes those of an exchange that is not taken. */
  removeOf(bodies: DraftBodies): void {
    this.remove(fileName(bodies.request));
    this.remove(fileName(bodies.response));
  }

  /** Removes what belongs to no exchange: a killed process left it. */
  keepOnly(names: ReadonlySet<string>): void {
    for (const name of readdirSync(this.folder)) {
      if (!names.has(name)) rmSync(join(this.folder, name), { force: true });
    }
  }
}

/** Name of a body's file; undefined: it has none. */
export function fileName(body: Buffer | BodyFile | undefined): string | undefined {
  return body === undefined || Buffer.isBuffer(body) ? undefined : basename(body.file);
}

function ignore(): void {}
