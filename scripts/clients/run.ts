import { cp, rm } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { execute, type Outcome } from './execute.ts'
import { runEvery } from './every.ts'
import { decodeJws } from '../../emulator/jws.ts'
import { sample } from '../../emulator/options.ts'
import { type Language, languageNames, languages, type Program, truststoreName } from './languages.ts'
import type { Tenant } from './token-endpoints.ts'
import { toolNames, tools } from './tools.ts'
import { scopes, startWorld, tokenLife, type World } from './world.ts'

/**
 * Runs the examples of every language and the tools whose toolchain is installed, against a broker over https with a
 * private CA.
 * Prints the result of each, with the number of requests and the seconds that it took. Exits with 1 if one failed.
 *
 * node scripts/clients/run.ts [language or tool…]
 */
const root = join(import.meta.dirname, '../..')
// Tools that scripts/tools.sh has installed.
process.env['PATH'] = [join(root, '.tools/bin'), process.env['PATH']].join(delimiter)
const folder = join(root, '.tools/clients')
/** Milliseconds. */
const buildTimeout = 10 * 60_000
const runTimeout = 90_000
/** A client that takes longer waits for something that does not come, however busy the machine is. */
const mostSeconds = 60

/** One situation that a client must handle. */
interface Case {
  readonly name: string
  readonly tenant: Tenant
  readonly scope: string
  /** The error message that the client must print. Without it, the client must print a token. */
  readonly error?: RegExp
  readonly mostRequests: number
}

const refusal = /No rule of the policy|not_permitted|unauthorized_client|Not permitted by the policy/
const cases: readonly Case[] = [
  { name: 'token, fresh', tenant: 'contoso', scope: scopes.granted, mostRequests: 8 },
  {
    name: 'scope not granted',
    tenant: 'contoso',
    scope: scopes.forbidden,
    error: refusal,
    mostRequests: 3,
  },
  {
    name: 'unknown tenant',
    tenant: 'nowhere',
    scope: scopes.granted,
    error: refusal,
    mostRequests: 3,
  },
  {
    name: 'broker: 503',
    tenant: 'contoso',
    scope: scopes.down,
    error: /upstream_unavailable|temporarily_unavailable|Entra is temporarily unavailable|\b503\b/,
    mostRequests: 10,
  },
]

/** One line of the table. */
interface Row {
  readonly language: string
  readonly client: string
  readonly endpoint: string
  readonly case: string
  readonly result: string
  readonly requests: number
  readonly seconds: number
  readonly isGood: boolean
}

const inherited = (): NodeJS.ProcessEnv => {
  const names = [
    'PATH',
    'HOME',
    'LANG',
    'TMPDIR',
    'JAVA_HOME',
    'GOPATH',
    'GOCACHE',
    'GOPROXY',
    'GOFLAGS',
    'GOTOOLCHAIN',
  ]
  return Object.fromEntries(names.map(name => [name, process.env[name]]).filter(([, value]) => value !== undefined))
}

async function attempt(world: World, language: Language, program: Program, testCase: Case): Promise<Row> {
  const { endpoint, client, command } = program
  const isFresh = testCase.error === undefined && command[0] !== './tokens.sh' && language.name !== 'curl'
  const [before, began] = [world.requestCounts()[endpoint.at], performance.now()]
  const outcome = await execute([...command, testCase.scope, ...(isFresh ? [String(tokenLife + 1)] : [])], {
    cwd: join(folder, language.source),
    env: { ...inherited(), ...language.trust(world), ...endpoint.environment(world, testCase.tenant) },
    timeout: runTimeout,
  })
  const seconds = (performance.now() - began) / 1000 - (isFresh ? tokenLife + 1 : 0)
  const requests = world.requestCounts()[endpoint.at] - before
  const wrong =
    testCase.error === undefined
      ? problemOfTokens(outcome, isFresh ? 2 : 1)
      : problemOfError(outcome, program.error ?? testCase.error)
  const mostRequests = testCase.error === undefined ? program.mostRequests : undefined
  const late =
    requests > (mostRequests ?? testCase.mostRequests) || seconds > mostSeconds
      ? 'too many requests or too slow'
      : undefined
  const problem = wrong ?? late
  return {
    language: language.name,
    client,
    endpoint: endpoint.name,
    case: testCase.name,
    requests,
    seconds,
    result: problem ?? (testCase.error ? 'prints the error' : 'token of the right tenant'),
    isGood: problem === undefined,
  }
}

function problemOfTokens({ code, stdout, stderr }: Outcome, count: number): string | undefined {
  if (code !== 0) return `failed: ${shorten(stderr || stdout)}`
  const tokens = stdout.match(/eyJ[\w-]+\.[\w-]+\.[\w-]+/g) ?? []
  if (tokens.length !== count) return `printed ${tokens.length} tokens`
  if (new Set(tokens).size !== count) return 'the second token equals the first'
  return tokens.every(token => decodeJws(token)?.payload['tid'] === sample.contoso) ? undefined : 'wrong tenant'
}

function problemOfError({ code, stdout, stderr }: Outcome, expected: RegExp): string | undefined {
  if (code === 0) return 'got a token'
  return expected.test(stderr + stdout) ? undefined : `other error: ${shorten(stderr || stdout)}`
}

const shorten = (output: string): string => output.replaceAll(/\s+/g, ' ').slice(-400)

/** The command that fails because a language's toolchain is missing; undefined if none does. */
async function missing({ toolchain }: Language): Promise<string | undefined> {
  for (const command of toolchain) {
    const { code } = await execute(command, { cwd: root, env: process.env, timeout: 60_000 })
    if (code !== 0) return command.join(' ')
  }
  return undefined
}

async function build({
  from = 'examples',
  source,
  build: commands,
  buildEnvironment,
}: Language): Promise<string | undefined> {
  await rm(join(folder, source, truststoreName), { force: true })
  await cp(join(root, from, source), join(folder, source), { recursive: true })
  for (const command of commands) {
    const env = { ...process.env, ...buildEnvironment?.(folder) }
    const outcome = await execute(command, { cwd: join(folder, source), env, timeout: buildTimeout })
    if (outcome.code !== 0) return `${command[0]} failed: ${shorten(outcome.stderr || outcome.stdout)}`
  }
  return undefined
}

async function runLanguage(world: World, language: Language): Promise<readonly Row[]> {
  const problem = await build(language)
  if (problem !== undefined) {
    const none = { client: '', endpoint: '', requests: 0, seconds: 0, isGood: false }
    const row: Row = { ...none, language: language.name, case: 'build', result: problem }
    print(row)
    return [row]
  }
  const rows: Row[] = []
  for (const program of language.programs)
    for (const testCase of cases) {
      if (testCase.scope === scopes.down) world.emulator.fault({ kind: 'server-error', at: 'token' })
      const row = await attempt(world, language, program, testCase)
      world.emulator.clearFaults()
      rows.push(row)
      print(row)
    }
  return rows
}

const print = ({ language, client, endpoint, case: caseName, result, requests, seconds, isGood }: Row): void => {
  const cells = [
    language.padEnd(16),
    client.padEnd(27),
    endpoint.padEnd(33),
    caseName.padEnd(17),
    String(requests).padStart(8),
  ]
  process.stdout.write(`${isGood ? '  ' : '! '}${cells.join(' ')} ${seconds.toFixed(1).padStart(7)}  ${result}\n`)
}

async function main(wanted: readonly string[]): Promise<number> {
  const world = await startWorld()
  let failures = 0
  let ran = 0
  process.stdout.write(
    `  ${'language'.padEnd(16)} ${'client'.padEnd(27)} ${'endpoint'.padEnd(33)} ${'case'.padEnd(17)} requests seconds  result\n`,
  )
  try {
    for (const language of [...languages(folder, world), ...tools(root)]) {
      if (!wanted.includes(language.name.toLowerCase())) continue
      const absent = await missing(language)
      if (absent !== undefined) {
        process.stdout.write(`  ${language.name.padEnd(16)} SKIPPED: "${absent}" does not work here\n`)
        continue
      }
      const rows = await runLanguage(world, language)
      ran += rows.length
      failures += rows.filter(({ isGood }) => !isGood).length
    }
  } finally {
    await world.close()
  }
  process.stdout.write(failures === 0 ? `\nall ${ran} passed\n` : `\n${failures} of ${ran} failed\n`)
  return failures === 0 ? 0 : 1
}

const wanted = process.argv.slice(2).map(name => name.toLowerCase())
process.exitCode = wanted.length === 0 ? await runEvery([...languageNames, ...toolNames]) : await main(wanted)
