#!/usr/bin/env node
import { handOverSignals } from './early-signals.ts'
import { parseArgs } from 'node:util'
import { messageOf } from './errors.ts'
import { exitCodes, serve, StartError } from './main.ts'

const help = `token-broker: hands tenant-scoped Microsoft Entra access tokens to authenticated, policy-checked callers

Usage: token-broker <command>

Commands:
  serve        run the broker; the environment configures it (see README.md)

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
async function run(args: readonly string[]): Promise<void> {
  const { values, positionals } = parse(args)
  if (values.help === true) {
    process.stdout.write(help)
    return
  }
  const [command, ...rest] = positionals
  if (command === undefined) throw usage('no command given')
  if (command !== 'serve') throw usage(`unknown command "${command}"`)
  if (rest.length > 0) throw usage(`serve takes no arguments, but got "${rest.join(' ')}"`)
  await serve(process.env, handOverSignals)
}

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
