import { readdir, readFile } from 'node:fs/promises'

/**
 * Milliseconds of CPU time that a process has used so far, user and system, on all its threads, by the kernel's own
 * accounting in nanoseconds (`/proc/<pid>/task/<thread>/schedstat`). Unlike a rate it does not depend on what else the
 * machine does, but for what that costs the processor's caches. Linux only.
 */
export async function cpuMsOf(pid: number): Promise<number> {
  const folder = `/proc/${pid}/task`
  const threads = await Promise.all(
    // A thread may end in the meantime.
    (await readdir(folder)).map(thread => readFile(`${folder}/${thread}/schedstat`, 'utf8').catch(() => '0')),
  )
  return threads.reduce((sum, text) => sum + Number(text.split(' ', 1)[0]) / 1e6, 0)
}
