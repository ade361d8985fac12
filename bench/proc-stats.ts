import { readdirSync, readFileSync } from "node:fs";

/** What a target's processes do for it: the public end and, behind a tunnel, the end beside the origin. */
export type Role = "relay" | "agent";

/** Process ids by role. Children are found when measuring, since sshd forks one per session. */
export type RolePids = Readonly<Partial<Record<Role, readonly number[]>>>;

/** CPU time and peak resident set of one role while something ran. */
export type RoleUse = { cpuMicros: number; startRssMiB: number; peakRssMiB: number };

/** What {@link observe} saw. */
export type Observation = { wallMs: number; busyCores: number; use: Partial<Record<Role, RoleUse>> };

const SAMPLE_MS = 50;
/** `CLK_TCK`: the unit of /proc/stat, fixed at 100 by the kernel's user interface. */
const TICKS_PER_SECOND = 100;

/** A process may end between being listed and being read; it then counts as nothing. */
function readProc(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** The pids and all of their children. */
function descendants(roots: readonly number[]): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = readProc(`/proc/${name}/stat`);
    // The command's name may hold spaces and brackets, so fields are counted from the last bracket.
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const found: number[] = [];
  const visit = (pid: number): void => {
    found.push(pid);
    for (const child of children.get(pid) ?? []) visit(child);
  };
  for (const root of roots) visit(root);
  return found;
}

/** Run time the scheduler gave to all threads, in microseconds. Far finer than the ticks of /proc/PID/stat. */
export function cpuMicros(pids: readonly number[]): number {
  let nanoseconds = 0;
  for (const pid of pids) {
    let tasks: string[] = [];
    try {
      tasks = readdirSync(`/proc/${pid}/task`);
    } catch {}
    for (const task of tasks) nanoseconds += Number(readProc(`/proc/${pid}/task/${task}/schedstat`).split(" ")[0] ?? 0);
  }
  return nanoseconds / 1_000;
}

/** Resident set of all pids together, in MiB. */
export function rssMiB(pids: readonly number[]): number {
  let kib = 0;
  for (const pid of pids) kib += Number(/VmRSS:\s+(\d+)/.exec(readProc(`/proc/${pid}/status`))?.[1] ?? 0);
  return kib / 1_024;
}

/** Busy time of the whole machine in milliseconds: shows whether neighbours disturbed a run. */
function machineBusyMs(): number {
  const fields = readProc("/proc/stat").split("\n", 1)[0]?.trim().split(/\s+/).slice(1).map(Number) ?? [];
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = fields;
  return ((user + nice + system + irq + softirq) * 1_000) / TICKS_PER_SECOND;
}

/** Run `work` and tell what the processes used meanwhile. */
export async function observe<T>(pids: RolePids, work: () => Promise<T>): Promise<Observation & { result: T }> {
  const groups = (Object.entries(pids) as [Role, readonly number[]][]).map(([role, roots]) => {
    const all = descendants(roots);
    const rss = rssMiB(all);
    return { role, all, startRssMiB: rss, peakRssMiB: rss, startCpu: cpuMicros(all) };
  });
  const sample = (): void => {
    for (const group of groups) group.peakRssMiB = Math.max(group.peakRssMiB, rssMiB(group.all));
  };
  const timer = setInterval(sample, SAMPLE_MS);
  const startedAt = performance.now();
  const startBusy = machineBusyMs();
  try {
    const result = await work();
    const wallMs = performance.now() - startedAt;
    sample();
    const use: Observation["use"] = {};
    for (const { role, all, startCpu, startRssMiB, peakRssMiB } of groups) {
      use[role] = { cpuMicros: cpuMicros(all) - startCpu, startRssMiB, peakRssMiB };
    }
    return { result, wallMs, busyCores: (machineBusyMs() - startBusy) / wallMs, use };
  } finally {
    clearInterval(timer);
  }
}
