import { describeStore } from "./exchange-store.contract.ts";
import { MemoryStore } from "./memory-store.ts";

describeStore("MemoryStore", async (quota) => new MemoryStore(quota));
