#!/usr/bin/env node
import { existsSync } from 'node:fs'
import { enableCompileCache } from 'node:module'
import { join } from 'node:path'
import { handOverSignals } from './service/startup-signals.ts'
import { columns, runCommand, usage, type Command } from './commands/command.ts'
import { ExitError, exitCodes } from './exit.ts'

/** Code that the image carries compiled, so that it starts sooner; beside the sources there is none. */
const compiled = join(import.meta.dirname, 'compiled')
if (existsSync(compiled)) enableCompileCache({ directory: compiled, portable: true })

/** The commands by name, each loaded when it is used: most of them need little of the broker. */
const commands: Readonly<Record<string, readonly [summary: string, load: () => Promise<Command>]>> = {
  serve: [
    'run the broker; the environment configures it (see docs/configuration.md)',
    async () => (await import('./commands/serve.ts')).serveCommand,
  ],
  agent: [
    'run beside a workload outside Azure and hand it the tokens that a broker grants it',
    async () => (await import('./commands/agent.ts')).agentCommand,
  ],
  'policy check': [
    'say what is wrong with a policy file',
    async () => (await import('./commands/policy-check.ts')).policyCheckCommand,
  ],
  'policy explain': [
    'say which rule grants something, or why none does',
    async () => (await import('./commands/policy-explain.ts')).policyExplainCommand,
  ],
  'policy test': [
    'compare what a policy decides with a table of expectations',
    async () => (await import('./commands/policy-test.ts')).policyTestCommand,
  ],
  'key new': ['make an API key for a caller', async () => (await import('./commands/key.ts')).newKeyCommand],
}

const help = `token-broker: hands tenant-scoped Microsoft Entra access tokens to authenticated, policy-checked callers

Usage: token-broker <command>

Commands:
${columns(Object.entries(commands).map(([name, [summary]]) => [name, summary]))}
Options:
  --help     show this text; after a command, what the command does
  --version  show the version

Exit codes:
  ${exitCodes.stopped}  done; serve, agent: stopped by a signal, everything answered
  ${exitCodes.failed}  an unexpected error; serve, agent: also a second signal, or stopped before everything was answered
  ${exitCodes.usage}  wrong usage of this command
  ${exitCodes.configuration}  the environment, the policy or the flags are faulty; every fault is listed
  ${exitCodes.listen}  the address or port to listen on cannot be had
  ${exitCodes.mismatch}  the policy decides otherwise than was expected
`

/** Runs the command line. Resolves to the exit code. */
async function run(args: readonly string[]): Promise<number> {
  const [first = '', second = ''] = args
  const out = (text: string): void => void process.stdout.write(text)
  for (const [name, length] of [
    [`${first} ${second}`, 2],
    [first, 1],
  ] as const) {
    const known = Object.hasOwn(commands, name) ? commands[name] : undefined
    if (known) {
      return runCommand(await known[1](), args.slice(length), {
        environment: process.env,
        out,
        now: Date.now,
        handOverSignals,
      })
    }
  }
  if (args.length === 1 && (first === '--help' || first === '-h')) {
    out(help)
    return exitCodes.stopped
  }
  if (args.length === 1 && first === '--version') {
    out(`${(await import('./service/package.ts')).version}\n`)
    return exitCodes.stopped
  }
  return refuse(first, second)
}

function refuse(first: string, second: string): never {
  if (first === '') throw usage('no command given')
  if (first.startsWith('-')) throw usage(`unknown option "${first}"`)
  const parts = Object.keys(commands).filter(name => name.startsWith(`${first} `))
  if (parts.length === 0) throw usage(`unknown command "${first}"`)
  const what =
    second === '' || second.startsWith('-') ? `${first} is incomplete` : `unknown command "${first} ${second}"`
  throw usage(`${what}: there is ${parts.map(part => `"${part}"`).join(', ')}`)
}

// Whatever fails is said on stderr in plain words and told in the exit code.
try {
  process.exitCode = await run(process.argv.slice(2))
} catch (thrown) {
  const expected = thrown instanceof ExitError
  const stack = thrown instanceof Error ? thrown.stack : undefined
  process.stderr.write(`token-broker: ${expected ? thrown.message : (stack ?? String(thrown))}\n`)
  process.exitCode = expected ? thrown.exitCode : exitCodes.failed
}
