import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** A limit of memory as a container has it: a control group of Linux, of either version. Its creation requires root. */
export interface MemoryLimit {
  /** A command line that runs in the group. */
  readonly within: (command: readonly [string, ...string[]]) => readonly [string, ...string[]]
  /** The most memory that the group has used so far, in bytes, with the files that it has read. */
  readonly most: () => Promise<number>
  /** Removes the group. Its processes must have ended. */
  readonly remove: () => Promise<void>
}

const root = '/sys/fs/cgroup'
/** The files of a group, by version: where they are, what limits memory and swap, and what was used at most. */
const versions = [
  {
    folder: join(root, 'memory'),
    limits: ['memory.limit_in_bytes', 'memory.memsw.limit_in_bytes'],
    most: 'memory.max_usage_in_bytes',
  },
  { folder: root, limits: ['memory.max', 'memory.swap.max'], most: 'memory.peak' },
] as const

/**
 * Creates a group for one process.
 * @param bytes its limit; 0 means none
 */
export async function limitMemory(bytes: number): Promise<MemoryLimit> {
  const { folder, limits, most } = existsSync(join(versions[0].folder, versions[0].limits[0]))
    ? versions[0]
    : versions[1]
  const group = join(folder, `token-broker-bench-${randomUUID()}`)
  await mkdir(group)
  if (bytes > 0) {
    await writeFile(join(group, limits[0]), String(bytes))
    // Not every kernel counts swap.
    await writeFile(join(group, limits[1]), limits[1] === 'memory.swap.max' ? '0' : String(bytes)).catch(
      () => undefined,
    )
  }
  return {
    within: command => ['sh', '-c', 'echo $$ > "$0" && exec "$@"', join(group, 'cgroup.procs'), ...command],
    most: async () => Number(await readFile(join(group, most), 'utf8')),
    remove: () => rmdir(group),
  }
}
