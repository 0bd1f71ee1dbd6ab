import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse } from 'yaml'
import { isKey, hashKey } from '../../src/broker/authentication/api-keys.ts'
import { parseKeyRing } from '../../src/outbound/redis/sealing/key-ring.ts'
import { run } from './process.ts'

const day = 86_400_000
const date = (days: number): string => new Date(Date.now() + days * day).toISOString().slice(0, 10)

for (const [args, days] of [
  [[], 365],
  [['--days', '30'], 30],
] as const)
  test(`"key new erp ${args.join(' ')}" prints a key once, and lines for the policy that contain only its hash`, async t => {
    const command = run(t, ['key', 'new', 'erp', ...args])
    const begun = date(days)
    assert.equal(await command.exited, 0)
    const [key = '', ...more] = command.stdout().match(/^tb_.*$/gm) ?? []
    assert.ok(isKey(key))
    assert.deepEqual(more, [])
    const lines = command.stdout().slice(command.stdout().indexOf('apiKeys:'))
    const { apiKeys } = parse(lines) as { apiKeys: { erp: { sha256: string; expires: string } } }
    assert.equal(apiKeys.erp.sha256, hashKey(key))
    assert.ok([begun, date(days)].includes(apiKeys.erp.expires))
    assert.equal(command.stderr(), '')
  })

test('two runs create two different keys', async t => {
  const [one, two] = [run(t, ['key', 'new', 'erp']), run(t, ['key', 'new', 'erp'])]
  await Promise.all([one.exited, two.exited])
  assert.notEqual(one.stdout(), two.stdout())
})

const misuse: readonly (readonly [args: readonly string[], hint: RegExp])[] = [
  [['key', 'make'], /unknown command "key make"; allowed commands: key new, key cache\n/],
  [['key', 'new'], /key new needs NAME/],
  [['key', 'new', 'ERP'], /NAME must be .*; got "ERP"/],
  [['key', 'new', 'erp', 'crm'], /takes NAME only, but got "crm"/],
  [['key', 'new', 'erp', '--days', '0'], /--days must be a whole number from 1 to 1095; got "0"/],
  [['key', 'new', 'erp', '--days', '1e3'], /--days must be/],
  [['key', 'new', 'erp', '--length', '3'], /--length/],
  [['key', 'cache', 'blue'], /takes no arguments?, but got "blue"/],
  [['key', 'cache', '--length', '64'], /--length/],
]
for (const [args, hint] of misuse)
  test(`"token-broker ${args.join(' ')}" is refused with a hint and exit code 2`, async t => {
    const command = run(t, args)
    assert.equal(await command.exited, 2)
    assert.match(command.stderr(), hint)
    assert.match(command.stderr(), /Try: token-broker( key( new| cache)?)? --help\n$/)
    assert.equal(command.stdout(), '')
  })

test('"key new --help" shows its arguments, options and exit codes', async t => {
  const command = run(t, ['key', 'new', '--help'])
  assert.equal(await command.exited, 0)
  assert.match(command.stdout(), /Usage: token-broker key new NAME[\s\S]*--days N[\s\S]*Exit codes:/)
})

test('"key cache" prints one line of a key ring, another one each time', async t => {
  const commands = [run(t, ['key', 'cache']), run(t, ['key', 'cache'])]
  assert.deepEqual(await Promise.all(commands.map(each => each.exited)), [0, 0])
  const lines = commands.map(each => each.stdout())
  assert.ok(lines.every(line => /^\d{8}[0-9a-f]{4}:[A-Za-z0-9+/]{43}=\n$/.test(line)))
  assert.equal(parseKeyRing(lines.join('')).keys.length, 2)
  assert.deepEqual(
    commands.map(each => each.stderr()),
    ['', ''],
  )
})
