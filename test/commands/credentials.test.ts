import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { encodeKey } from '../../src/broker/authentication/api-keys.ts'
import { agentCommand } from '../../src/commands/agent.ts'
import { runCommand, type Command } from '../../src/commands/command.ts'
import { newKeyCommand } from '../../src/commands/key.ts'
import { cacheKeyCommand } from '../../src/commands/key-cache.ts'
import { policyCheckCommand } from '../../src/commands/policy-check.ts'
import { policyExplainCommand } from '../../src/commands/policy-explain.ts'
import { policyTestCommand } from '../../src/commands/policy-test.ts'
import { serveCommand } from '../../src/commands/serve.ts'
import { tokenCommand } from '../../src/commands/token.ts'
import { messageOf } from '../../src/errors.ts'
import { ExitError, exitCodes } from '../../src/exit.ts'
import { run } from '../e2e/process.ts'

const jwt = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl-_0'
const key = encodeKey(Buffer.alloc(32, 7))
const commands = [
  agentCommand,
  newKeyCommand,
  cacheKeyCommand,
  policyCheckCommand,
  policyExplainCommand,
  policyTestCommand,
  serveCommand,
  tokenCommand,
]

async function failureOf(command: Command, args: readonly string[]) {
  const surroundings = { environment: {}, handOverSignals: () => undefined, out: () => undefined, now: Date.now }
  const thrown: unknown = await runCommand(command, args, surroundings).catch((error: unknown) => error)
  assert.ok(thrown instanceof ExitError)
  return { code: thrown.exitCode, message: messageOf(thrown) }
}

describe('a credential in the place of any argument is refused, and not repeated', () => {
  for (const command of commands) {
    const flags = Object.entries(command.options).filter(([, { type }]) => type === 'string')
    const places = [
      ...flags.map(([flag]) => [`--${flag}`, (text: string) => [`--${flag}`, text]] as const),
      ...[...command.takes, 'an argument'].map(
        (name, nth) => [name, (text: string) => [...Array<string>(nth).fill('x'), text]] as const,
      ),
    ]
    for (const [where, argsWith] of places)
      for (const [what, text] of Object.entries({ jwt, key, quoted: `a "${jwt}"`, path: `/tmp/${key}` }))
        test(`${command.name}: a ${what} as ${where}`, async () => {
          const { code, message } = await failureOf(command, argsWith(text))
          assert.equal(code, exitCodes.usage)
          assert.match(message, new RegExp(`^${where} looks like a token or an API key, which is not repeated here; `))
          assert.ok(!message.includes('eyJ') && !message.includes('tb_'), message)
        })
  }
})

for (const [args, hint] of [
  [['p.yaml', '--token', jwt], /^--token .*; give the path of a file\n/],
  [['p.yaml', '--api-key', key], /^--api-key .*; give a name\n/],
  [[jwt], /^FILE .*; give the path of a file\n/],
] as const)
  test(`the message says what to give instead: policy explain ${args.at(-2) ?? 'FILE'}`, async () => {
    assert.match((await failureOf(policyExplainCommand, args)).message, hint)
  })

for (const args of [[jwt], ['policy', key], [`--${jwt}`], ['policy', 'check', `--${key}`], ['serve', key]])
  test(`no message of the command line repeats one: ${args.length} words, ${args.at(-1)?.slice(0, 5)}`, async t => {
    const command = run(t, args)
    assert.equal(await command.exited, exitCodes.usage)
    assert.match(command.stderr(), /\[redacted (jwt|key)\]|looks like a token/)
    assert.ok(!/eyJ|tb_/.test(command.stderr()), command.stderr())
  })

test('a file of the policy that is named like a key is not repeated either', async t => {
  const command = run(t, ['serve'], { BROKER_POLICY_FILE: `/nowhere/${key}`, PORT: jwt })
  assert.equal(await command.exited, exitCodes.configuration)
  assert.match(command.stderr(), /PORT: looks like a token or an API key, which does not belong here/)
  assert.match(command.stderr(), /BROKER_POLICY_FILE: looks like .*; give the path of a file that contains it/)
  assert.ok(!/eyJ|tb_/.test(command.stderr()), command.stderr())
})

describe('what a command prints does not control the terminal', () => {
  const policy = {
    applications: { default: '6f3c0b1e-0000-4000-8000-000000000001' },
    issuers: { onprem: { issuer: 'https://issuer.example', audiences: ['token-broker'] } },
    rules: [{ name: 'a', callers: [{ issuer: 'onprem', subject: 'worker' }], tenants: '*', scopes: ['a/.default'] }],
  }
  const table: readonly (readonly [claims: object, shown: string, why: string])[] = [
    [{ iss: 'https://issuer.example', sub: 'x\u001b[2J\u202E' }, String.raw`"x\u001b[2J\u202e"`, 'a subject'],
    [{ iss: 'https://issuer.example', sub: 'x\ngranted by' }, String.raw`"x\ngranted by"`, 'a line break in a subject'],
    [{ iss: 'https://\u009b31m' }, String.raw`"https://\u009b31m"`, 'an issuer'],
  ]
  for (const [claims, shown, why] of table)
    test(why, async t => {
      const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
      t.after(() => rm(folder, { recursive: true, force: true }))
      const file = join(folder, 'policy.yaml')
      await writeFile(file, JSON.stringify(policy))
      const asked = ['--claims', JSON.stringify(claims), '--tenant', 'a', '--scope', 'a/.default']
      const { exited, stdout, stderr } = run(t, ['policy', 'explain', file, ...asked])
      await exited
      const written = stdout() + stderr()
      assert.ok(written.includes(shown), written)
      assert.doesNotMatch(written, /[^\n\P{Cc}]|\p{Cf}/u)
    })
})
