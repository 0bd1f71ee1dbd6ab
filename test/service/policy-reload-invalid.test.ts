import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { encodeKey } from '../../src/broker/authentication/api-keys.ts'
import { looks, rule, start, world } from './reload-world.ts'

const { emulator, clock } = world

describe('an invalid version', () => {
  const invalid = 'applications: { default: x }\nrules: []\n'

  test('changes nothing, is logged with its errors, counted, and shown until a valid one comes', async t => {
    const { broker, change, statusFor, health, metrics } = await start(t)
    await statusFor()
    clock.advance(60)
    const since = new Date(clock.now()).toISOString()
    await change(invalid)
    assert.equal(await statusFor(), 200)
    const [line, ...more] = broker.events('policy.refused')
    assert.deepEqual(more, [])
    assert.equal(line?.['level'], 'error')
    assert.partialDeepStrictEqual(line, {
      count: 2,
      errors: [{ where: 'applications.default (line 1, column 26)' }, { where: 'rules (line 2, column 8)' }],
    })
    const failing = await health()
    assert.equal(failing.status, 'failing')
    assert.partialDeepStrictEqual(failing.policy, { status: 'failing', since, errors: line?.['errors'] })
    assert.equal(failing.policy['version'], line?.['policy'])
    assert.match(await metrics(), /^token_broker_policy_refused 1$/m)
    assert.match(await metrics(), /^token_broker_policy_reloads_total\{outcome="refused"\} 1$/m)

    clock.advance(60)
    await change({ deny: [{ tenants: ['tailspin'] }] })
    const good = await health()
    assert.equal(good.policy['status'], 'ok')
    assert.ok(!('errors' in good.policy))
    assert.match(await metrics(), /^token_broker_policy_refused 0$/m)
    assert.match(await metrics(), /^token_broker_policy_reloads_total\{outcome="loaded"\} 1$/m)
    assert.match(
      await metrics(),
      new RegExp(`token_broker_policy_info\\{sha256="${String(good.policy['version'])}"\\} 1`),
    )
  })

  test('with a key in the place of its name is reported without the key', async t => {
    const { broker, change, health } = await start(t)
    const key = encodeKey(Buffer.alloc(32, 7))
    await change({ apiKeys: { [key]: { sha256: key, expires: key } } })
    assert.equal(broker.events('policy.refused').length, 1)
    const { policy } = await health()
    assert.match(JSON.stringify(policy), /apiKeys\.\[redacted key\]/)
    assert.ok(!JSON.stringify([policy, broker.events('policy.refused')]).includes(key.slice(0, 12)))
  })

  test('is no longer shown once the file is the active version again', async t => {
    const { broker, change, health, metrics } = await start(t)
    await change(invalid)
    await change({})
    assert.equal((await health()).policy['status'], 'ok')
    const [line, ...more] = broker.events('policy.loaded')
    assert.deepEqual(more, [])
    assert.equal(line?.['previous'], line?.['policy'])
    await change({})
    assert.equal(broker.events('policy.loaded').length, 1, 'the active version is not loaded again')
    assert.match(await metrics(), /^token_broker_policy_refused 0$/m)
  })

  test(
    'is also a named pipe, which would never be read; the next good file is loaded',
    { timeout: 20_000 },
    async t => {
      const { broker, change, folder, statusFor, health } = await start(t)
      const file = join(folder, 'policy.yaml')
      await rm(file)
      execFileSync('mkfifo', [file])
      await broker.service.reload()
      assert.equal(await statusFor(), 200)
      const { status, policy } = await health()
      assert.equal(status, 'failing')
      assert.match(String(policy['detail']), /^the policy file cannot be read or is invalid/)
      assert.match(JSON.stringify(policy['errors']), /BROKER_POLICY_FILE.*is not a regular file/)
      await change({ deny: [{ tenants: ['contoso'] }] })
      assert.equal(await statusFor(), 403)
    },
  )

  test('is also a file that was removed', async t => {
    const { broker, folder, statusFor, health } = await start(t)
    await rm(join(folder, 'policy.yaml'))
    await broker.service.reload()
    assert.equal(await statusFor(), 200)
    assert.partialDeepStrictEqual((await health()).policy, { status: 'failing' })
  })

  test('is also one that grants the audience of the assertions', async t => {
    const scopes = ['api://AzureADTokenExchange/.default']
    const { broker, change } = await start(t)
    await change({ rules: [{ ...rule, scopes }, looks] })
    assert.equal(broker.events('policy.refused').length, 1)
  })

  test('keeps the time since which the file is invalid, while its errors change', async t => {
    const { change, health } = await start(t)
    const since = new Date(clock.now()).toISOString()
    await change(invalid)
    clock.advance(10)
    await change('applications: {}\n')
    assert.equal((await health()).policy['since'], since)
  })
})

test('a file that is the same byte for byte is not a new version', async t => {
  const { broker, change, statusFor } = await start(t)
  await statusFor()
  emulator.resetCounts()
  await change({})
  assert.deepEqual(broker.events('policy.loaded'), [])
  assert.equal(await statusFor(), 200)
})

test('the active version is in the audit line of a request without an authenticated caller', async t => {
  const { broker, change } = await start(t)
  await change({ deny: [{ tenants: ['tailspin'] }] })
  await broker.requestToken(undefined, { token: 'nonsense' })
  const [loaded] = broker.events('policy.loaded')
  assert.equal(broker.events('caller.refused')[0]?.['policy'], loaded?.['policy'])
  assert.match(String(loaded?.['previous']), /^[\da-f]{64}$/)
})

test('after many versions at once, the last one is active', async t => {
  const { broker, write, statusFor } = await start(t)
  await write({ deny: [{ tenants: ['contoso'] }] })
  const first = broker.service.reload()
  await write({})
  await Promise.all([first, broker.service.reload(), broker.service.reload()])
  assert.equal(await statusFor(), 200)
})
