/**
 * `node scripts/test.ts [part …]`: runs the checks and the tests, several at once; without arguments all parts.
 *
 * - `types`, `format`, `lint`: the compiler, the formatter and the linter
 * - `unit`: the test files that start no other process and no emulator, all in one process: most of their time would be
 *   spent on loading the same modules
 * - `emulator`: the test files that start an emulator but no other process, in two processes for the same reason
 * - `system`: every other test file, each in a process of its own
 *
 * The last line is the sum of the tests: `N passed, N failed, N skipped`. Exits with 1 when a part failed, with 2 when there
 * is no part of that name. Compiled modules are cached in node_modules/.cache, also for the processes that tests start.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { globSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import { stripVTControlCharacters } from 'node:util'
import { kindOf } from './test-files.ts'

const root = join(import.meta.dirname, '..')
const bin = join(root, 'node_modules/.bin')
const environment = {
  NODE_COMPILE_CACHE: join(root, 'node_modules/.cache/node-compile'),
  ...process.env,
  PATH: `${bin}${delimiter}${process.env['PATH']}`,
}

const testFiles = globSync('test/**/*.test.ts', { cwd: root }).toSorted()
const byKind = Map.groupBy(testFiles, file => kindOf(root, file))
const nodeTest = ['--import', './test/support/network-off.ts', '--test', '--test-timeout=120000']
const inOneProcess = (files: readonly string[]): Command => [
  process.execPath,
  ...nodeTest,
  '--test-isolation=none',
  ...files,
]

/** The processes that share the files with an emulator. These files wait often, so there is more than one. */
const shards = 2

/** Folders that the linter reads. */
const linted = ['src', 'web', 'openapi', 'emulator', 'test', 'bench', 'scripts']

type Command = readonly [command: string, ...args: string[]]
/** The commands of each part, which run at once. */
const commands = {
  types: (): readonly Command[] => [
    ['tsc', '--noEmit'],
    ['tsc', '--noEmit', '-p', 'web'],
  ],
  format: (): readonly Command[] => [
    ['prettier', '--check', '--log-level=warn', '--cache', '--cache-strategy=content', '.'],
  ],
  lint: (): readonly Command[] => [['oxlint', '--type-aware', '--deny-warnings', ...linted]],
  unit: (): readonly Command[] => [inOneProcess(byKind.get('unit') ?? [])],
  emulator: (): readonly Command[] => {
    const files = byKind.get('emulator') ?? []
    return Array.from({ length: shards }, (_, shard) =>
      inOneProcess(files.filter((_file, nth) => nth % shards === shard)),
    )
  },
  system: (): readonly Command[] => {
    // What takes longest begins first.
    const files = [...(byKind.get('processes') ?? []), ...(byKind.get('alone') ?? [])]
    return [[process.execPath, ...nodeTest, `--test-concurrency=${availableParallelism()}`, ...files]]
  },
}

type Part = keyof typeof commands
const allParts = Object.keys(commands).filter(isPart)
function isPart(text: string): text is Part {
  return Object.hasOwn(commands, text)
}

/** How a part ended. */
interface Ended {
  readonly part: Part
  readonly isGood: boolean
  readonly lines: readonly string[]
}

const write = (lines: readonly string[]): void => void process.stdout.write(lines.map(line => `${line}\n`).join(''))

const running = new Set<ChildProcess>()
// What a terminal sends reaches them too; what `kill` or CI sends does not.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
  process.once(signal, () => {
    for (const child of running) child.kill(signal)
    process.kill(process.pid, signal)
  })

/** Runs a command to its end; its lines are written as they come, or all together at its end. */
function runCommand([command, ...args]: Command, isLive: boolean): Promise<{ code: number | null; lines: string[] }> {
  const { promise, resolve } = Promise.withResolvers<{ code: number | null; lines: string[] }>()
  const child = spawn(command, args, { cwd: root, env: environment, stdio: ['ignore', 'pipe', 'pipe'] })
  running.add(child)
  const lines: string[] = []
  for (const stream of [child.stdout, child.stderr])
    createInterface(stream).on('line', line => {
      lines.push(line)
      if (isLive) write([line])
    })
  child.on('error', error => lines.push(String(error)))
  child.on('close', code => {
    running.delete(child)
    if (!isLive) write(lines)
    resolve({ code, lines })
  })
  return promise
}

/** Runs a part. It is good if all its commands exit with 0. */
async function run(part: Part, isLive: boolean): Promise<Ended> {
  const began = performance.now()
  const ended = await Promise.all(commands[part]().map(command => runCommand(command, isLive)))
  const seconds = ((performance.now() - began) / 1000).toFixed(0)
  const bad = ended.find(({ code }) => code !== 0)
  write([`${part}: ${bad ? `FAILED (exit code ${bad.code})` : 'passed'}, ${seconds} s`])
  return { part, isGood: !bad, lines: ended.flatMap(({ lines }) => lines) }
}

/** One part after another. */
async function runAll(parts: readonly Part[]): Promise<Ended[]> {
  const ended: Ended[] = []
  for (const part of parts) ended.push(await run(part, false))
  return ended
}

/** The sum of a closing line of node's test runner, such as `ℹ pass 12`. */
function sum(ended: readonly Ended[], ...names: readonly string[]): number {
  const counts = ended.flatMap(({ lines }) =>
    lines.map(line => /^[ℹ#] (\w+) (\d+)$/.exec(stripVTControlCharacters(line)) ?? []),
  )
  return counts.reduce((total, [, name = '', count]) => total + (names.includes(name) ? Number(count) : 0), 0)
}

const named = process.argv.slice(2)
const unknown = named.find(text => !isPart(text))
if (unknown !== undefined) {
  process.stderr.write(`test: unknown part "${unknown}"; allowed: ${allParts.join(', ')}\n`)
  process.exit(2)
}
const wanted = named.length > 0 ? named.filter(isPart) : allParts
const isWanted = (part: Part): boolean => wanted.includes(part)
// Three at a time: tests of the first two wait often, and the third computes meanwhile.
const ended = (
  await Promise.all([
    Promise.all((['system'] as const).filter(isWanted).map(part => run(part, true))),
    runAll((['emulator'] as const).filter(isWanted)),
    runAll((['unit', 'types', 'format', 'lint'] as const).filter(isWanted)),
  ])
).flat()

const failed = ended.filter(({ isGood }) => !isGood)
// Once more, where it is seen.
for (const { part, lines } of failed) {
  const from = lines.findIndex(line => stripVTControlCharacters(line).startsWith('✖ failing tests:'))
  write(['', `FAILED: ${part}`, ...lines.slice(Math.max(from, 0))])
}
// A part that failed without a failing test, such as the types, counts as one.
const failures = Math.max(sum(ended, 'fail', 'cancelled'), failed.length)
write(['', `${sum(ended, 'pass')} passed, ${failures} failed, ${sum(ended, 'skipped', 'todo')} skipped`])
process.exitCode = failed.length > 0 ? 1 : 0
