#!/usr/bin/env node
import { parseArgs } from 'node:util'
import { messageOf } from './errors.ts'
import { exitCodes, serve, StartError } from './main.ts'

const help = `token-broker: hands tenant-scoped Microsoft Entra access tokens to authenticated, policy-checked callers

Usage: token-broker <command>

Commands:
  serve        run the broker; the environment configures it (see README.md)
  agent        run beside a workload outside Azure and hand it the tokens that a broker grants it; see agent --help

Options:
  --help       show this text

Exit codes:
  ${exitCodes.stopped}  stopped by a signal, everything answered
  ${exitCodes.failed}  stopped by an unexpected error, by a second signal, or before everything was answered
  ${exitCodes.usage}  wrong usage of this command
  ${exitCodes.configuration}  the environment or the policy is faulty; every fault is listed
  ${exitCodes.listen}  the address or port to listen on cannot be had
`

/** Runs the command line. Whatever fails is said on stderr in plain words and told in the exit code. */
async function run([command, ...rest]: readonly string[]): Promise<void> {
  if (command === '--help' || command === '-h') return print(help)
  if (command === undefined) throw usage('no command given')
  if (command === 'serve') return serveBroker(rest)
  if (command === 'agent') return runAgent(rest)
  throw usage(command.startsWith('-') ? `unknown option "${command}"` : `unknown command "${command}"`)
}

async function serveBroker(args: readonly string[]): Promise<void> {
  const { values, positionals } = parse(args)
  if (values.help === true) return print(help)
  if (positionals.length > 0) throw usage(`serve takes no arguments, but got "${positionals.join(' ')}"`)
  await serve(process.env)
}

async function runAgent(args: readonly string[]): Promise<void> {
  const { agent, agentHelp } = await import('./agent/main.ts')
  if (args.includes('--help') || args.includes('-h')) return print(agentHelp)
  await agent(args, process.env)
}

const print = (text: string): void => void process.stdout.write(text)

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: { help: { type: 'boolean', short: 'h' } }, allowPositionals: true })
  } catch (thrown) {
    throw usage(messageOf(thrown))
  }
}

const usage = (what: string) => new StartError(`${what}\nTry: token-broker --help`, exitCodes.usage)

try {
  await run(process.argv.slice(2))
} catch (thrown) {
  const expected = thrown instanceof StartError
  const stack = thrown instanceof Error ? thrown.stack : undefined
  process.stderr.write(`token-broker: ${expected ? thrown.message : (stack ?? String(thrown))}\n`)
  process.exitCode = expected ? thrown.exitCode : exitCodes.failed
}
