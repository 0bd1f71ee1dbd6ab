/**
 * The flags with which Node runs a bundled broker: in the image, in the benchmarks, and when the compiled code is made, which
 * V8 uses with the same flags only. What cannot import them has a copy, and test/image/flags.test.ts compares it: the
 * Dockerfile, scripts/token-broker, and the service of systemd.
 *
 * - `--disable-sigusr1`: the signal SIGUSR1 would open Node's inspector, through which any process of the same user could
 *   read every token.
 * - `--no-concurrent-recompilation`: functions are optimized on the main thread. When load begins, other threads would take
 *   30 MB at once for it, which the C library keeps. A broker has about one core in any case.
 * - `--max-semi-space-size` (MiB) and `--heap-growing-percent`: garbage is collected before it becomes much. By default V8
 *   lets it grow with the memory of the machine or container.
 *
 * No flag sets the size of the heap: V8 takes half of the container's memory, at least 256 MB and at most 4 GB.
 */
export const nodeFlags: readonly string[] = [
  '--disable-sigusr1',
  '--no-concurrent-recompilation',
  '--max-semi-space-size=8',
  '--heap-growing-percent=30',
]
