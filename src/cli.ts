#!/usr/bin/env -S node --disable-sigusr1
import { handOverSignals } from './service/startup-signals.ts'
import { printable } from './broker/lib/text/quoted.ts'
import { nearestName } from './broker/lib/text/did-you-mean.ts'
import { columns, runCommand, usage, type Command } from './commands/command.ts'
import { ExitError, exitCodes } from './exit.ts'

/** The commands by name. Each is loaded when it is used, since most of them need few of the broker's modules. */
const commands: Readonly<Record<string, readonly [summary: string, load: () => Promise<Command>]>> = {
  serve: [
    'run the broker; environment variables configure it (see docs/configuration.md)',
    async () => (await import('./commands/serve.ts')).serveCommand,
  ],
  agent: [
    'run beside a workload outside Azure, and serve it the tokens that a broker grants it',
    async () => (await import('./commands/agent.ts')).agentCommand,
  ],
  token: [
    'request a token from a broker as a caller does, and print it',
    async () => (await import('./commands/token.ts')).tokenCommand,
  ],
  doctor: [
    'find out why the broker does not work, and what to do first',
    async () => (await import('./commands/doctor.ts')).doctorCommand,
  ],
  'policy check': [
    'list the errors of a policy file',
    async () => (await import('./commands/policy-check.ts')).policyCheckCommand,
  ],
  'policy explain': [
    'show which rule grants a request, or why none does',
    async () => (await import('./commands/policy-explain.ts')).policyExplainCommand,
  ],
  'policy test': [
    'compare the decisions of a policy with a table of expected ones',
    async () => (await import('./commands/policy-test.ts')).policyTestCommand,
  ],
  'key new': ['create an API key for a caller', async () => (await import('./commands/key.ts')).newKeyCommand],
  'key cache': [
    'create a key that encrypts the cache which replicas share',
    async () => (await import('./commands/key-cache.ts')).cacheKeyCommand,
  ],
}

/** Milliseconds for work that a command has left. */
const leftWorkMs = 2_000

/** What the commands of two words have in common. */
const groups: Readonly<Record<string, string>> = {
  policy: 'check, explain and test a policy file',
  key: 'create API keys for callers',
}

const help = `token-broker: issues tenant-scoped Microsoft Entra access tokens to authenticated callers, as a policy allows

Usage: token-broker <command>

Commands:
${columns(Object.entries(commands).map(([name, [summary]]) => [name, summary]))}
Options:
  --help     show this text; after a command, the help of that command (or: token-broker help <command>)
  --version  show the version

Exit codes:
  ${exitCodes.stopped}  success; serve, agent: stopped by a signal, with every request answered
  ${exitCodes.failed}  an unexpected error; serve, agent: also a second signal, or a stop before every request was answered
  ${exitCodes.usage}  wrong usage of this command
  ${exitCodes.configuration}  the environment, the policy or the flags are invalid; all errors are listed
  ${exitCodes.listen}  serve, agent: it cannot listen on the address or port
  ${exitCodes.mismatch}  policy explain: the request is not granted; policy test: a decision is not the expected one
  ${exitCodes.unwell}  doctor: a check failed
  ${exitCodes.refused}  token: the broker refused the request, or its response is unusable
  ${exitCodes.unavailable}  token: the broker is unreachable or cannot issue the token now; a later attempt may succeed
`

function helpOfGroup(group: string): string {
  const rows = namesIn(group).map(name => [name, commands[name]?.[0] ?? ''])
  return (
    `token-broker ${group}: ${groups[group]}\n\nUsage: token-broker ${group} <command>\n\nCommands:\n${columns(rows)}` +
    `\nOptions:\n  --help  show this text; after a command, the help of that command, with its exit codes\n`
  )
}

const namesIn = (group: string): readonly string[] => Object.keys(commands).filter(name => name.startsWith(`${group} `))
const isHelp = (arg: string | undefined): boolean => arg === '--help' || arg === '-h' || arg === 'help'
const out = (text: string): void => void process.stdout.write(text)

/** Runs the command line. Resolves to the exit code. */
async function run(args: readonly string[]): Promise<number> {
  const [first = '', second = ''] = args
  for (const [name, length] of [
    [`${first} ${second}`, 2],
    [first, 1],
  ] as const) {
    const known = Object.hasOwn(commands, name) ? commands[name] : undefined
    if (known) {
      const command = await known[1]()
      const surroundings = { environment: process.env, out, now: Date.now, handOverSignals }
      const code = await runCommand(command, args.slice(length), surroundings)
      // The timer alone does not keep the process running, and what was written is flushed by then.
      if (command.leavesWork === true) setTimeout(() => process.exit(), leftWorkMs).unref()
      return code
    }
  }
  if (first === 'help' && args.length > 1 && !isHelp(second)) return run([...args.slice(1), '--help'])
  if (args.length === 1 && first === '--version') {
    out(`${(await import('./service/package.ts')).version}\n`)
    return exitCodes.stopped
  }
  const wanted = helpFor(args)
  if (wanted === undefined) return refuse(first, second)
  out(wanted)
  return exitCodes.stopped
}

/** The help for arguments that are no command: a part of the commands' names, or a request for help. */
function helpFor(args: readonly string[]): string | undefined {
  const [first = '', ...others] = args
  if (!others.every(isHelp)) return undefined
  if (isHelp(first)) return help
  return Object.hasOwn(groups, first) ? helpOfGroup(first) : undefined
}

function refuse(first: string, second: string): never {
  if (first === '') throw usage('no command given')
  if (first.startsWith('-')) throw usage(`unknown option "${first}"`)
  if (!Object.hasOwn(groups, first)) {
    const known = [...Object.keys(commands), ...Object.keys(groups)]
    throw usage(
      `unknown command "${first}"${suggestion(nearest(`${first} ${second}`, known) ?? nearest(first, known))}`,
    )
  }
  if (second.startsWith('-')) throw usage(`unknown option "${second}"`, first)
  const close = suggestion(nearest(`${first} ${second}`, namesIn(first)))
  throw usage(`unknown command "${first} ${second}"${close}; allowed commands: ${namesIn(first).join(', ')}`, first)
}

const nearest = (name: string, known: readonly string[]) => nearestName(name, known, shortestCommand)
const shortestCommand = 3
const suggestion = (name: string | undefined): string => (name === undefined ? '' : ` (did you mean ${name}?)`)

/** Every failure is reported on stderr, and by the exit code. */
function fail(thrown: unknown): void {
  const expected = thrown instanceof ExitError
  const stack = thrown instanceof Error ? thrown.stack : undefined
  const text = expected ? thrown.message : (stack ?? String(thrown))
  process.stderr.write(`token-broker: ${printable(text)}\n`)
  process.exitCode = expected ? thrown.exitCode : exitCodes.failed
}

// If the process ends before the command does, because nothing is left that it could wait for, that is an error.
process.exitCode = exitCodes.failed
// Not awaited: the bundle is a function (scripts/start.cjs), which cannot await at its top level.
void run(process.argv.slice(2)).then(code => (process.exitCode = code), fail)
