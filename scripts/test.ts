/**
 * `node scripts/test.ts [part …]`: runs the checks and the tests, several at once; without arguments all parts.
 *
 * - `types`, `format`, `lint`: the compiler, the formatter and the linter
 * - `unit`: the test files that start no other process and no emulator, all in one process: most of their time would be
 *   spent on loading the same modules
 * - `system`: every other test file, each in a process of its own: MSAL and the trust store are one per process
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
import { needsOwnProcess, startsProcesses } from './test-files.ts'

const root = join(import.meta.dirname, '..')
const bin = join(root, 'node_modules/.bin')
const environment = {
  NODE_COMPILE_CACHE: join(root, 'node_modules/.cache/node-compile'),
  ...process.env,
  PATH: `${bin}${delimiter}${process.env['PATH']}`,
}

const testFiles = globSync('test/**/*.test.ts', { cwd: root }).toSorted()
const nodeTest = ['--import', './test/support/network-off.ts', '--test', '--test-timeout=120000']

/** Tests wait often, so one process more than there are cores. */
const atOnce = availableParallelism() + 1

/** Folders that the linter reads. */
const linted = ['src', 'openapi', 'emulator', 'test', 'bench', 'scripts']

type Command = readonly [command: string, ...args: string[]]
const commands = {
  types: (): Command => ['tsc', '--noEmit'],
  format: (): Command => ['prettier', '--check', '--log-level=warn', '--cache', '--cache-strategy=content', '.'],
  lint: (): Command => ['oxlint', '--type-aware', '--deny-warnings', ...linted],
  unit: (): Command => {
    const files = testFiles.filter(file => !needsOwnProcess(root, file))
    return [process.execPath, ...nodeTest, '--test-isolation=none', ...files]
  },
  system: (): Command => {
    const files = testFiles.filter(file => needsOwnProcess(root, file))
    // What takes longest begins first.
    const [slow, others] = [true, false].map(starts => files.filter(file => startsProcesses(root, file) === starts))
    return [process.execPath, ...nodeTest, `--test-concurrency=${atOnce}`, ...(slow ?? []), ...(others ?? [])]
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

/** Runs a part; its lines are written as they come, or all together at its end. */
function run(part: Part, isLive: boolean): Promise<Ended> {
  const [command, ...args] = commands[part]()
  const began = performance.now()
  const { promise, resolve } = Promise.withResolvers<Ended>()
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
    const seconds = ((performance.now() - began) / 1000).toFixed(0)
    write([`${part}: ${code === 0 ? 'passed' : `FAILED (exit code ${code})`}, ${seconds} s`])
    resolve({ part, isGood: code === 0, lines })
  })
  return promise
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
const isSystem = (part: Part): boolean => part === 'system'
const ended = (
  await Promise.all([
    Promise.all(wanted.filter(isSystem).map(part => run(part, true))),
    runAll(wanted.filter(part => !isSystem(part))),
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
