import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BrokerError, type ErrorCode, type ReasonOf } from '../../../src/errors.ts'
import { noon } from '../../support/clock.ts'
import { networkError, circuitWorld, failure, isCircuitOpen, throttled } from './circuit-world.ts'

describe('what an exchange says of the authority', () => {
  const table: readonly [code: ErrorCode, reasons: readonly ReasonOf<ErrorCode>[], handling: string, why: string][] = [
    ['upstream_unavailable', ['network', 'timeout'], 'failure', 'no response'],
    ['upstream_unavailable', ['server_error'], 'failure', '5xx'],
    ['upstream_unavailable', ['throttled'], 'response', '429'],
    ['upstream_unavailable', ['transient'], 'response', '4xx with a code that passes'],
    ['upstream_unavailable', ['circuit_open', 'aborted', 'min_expires_in', 'broker'], 'ignored', 'no request'],
    ['federation_misconfigured', ['federation', 'assertion', 'cloud'], 'response', '4xx'],
    ['consent_required', ['consent'], 'response', '4xx'],
    ['upstream_rejected', ['request', 'unknown'], 'response', '4xx'],
    ['upstream_invalid', ['redirect', 'unreadable', 'wrong_tenant'], 'response', 'a response of any kind'],
    ['identity_unavailable', ['network', 'timeout', 'status'], 'ignored', 'another hop'],
    ['issuer_unavailable', ['issuer_unavailable'], 'ignored', 'another hop'],
    ['internal_error', ['internal_error'], 'ignored', 'a bug'],
  ]
  for (const [code, reasons, handling, why] of table) {
    for (const reason of reasons) {
      test(`${code} ${reason}: ${handling} (${why})`, () =>
        assert.equal(failure(code, reason).handling.circuit, handling))
    }
  }
})

describe('it opens', () => {
  const table: readonly [exchanges: string, state: string, why: string][] = [
    ['ABCDEFGHI', 'closed', 'nine exchanges are not enough'],
    ['ABCDEFGHIJ', 'open', 'ten that fail for ten tenants'],
    ['ABCABCABCA', 'open', 'ten that fail for three tenants'],
    ['ABABABABABABABABABAB', 'closed', 'two tenants are not several'],
    ['AAAAAAAAAAAAAAAAAAAA', 'closed', "one tenant's trouble"],
    ['AAAAAAAAAAAAAAAAAAAAbcdefg', 'closed', "one tenant's trouble among others that are well"],
    ['defghAAAAAAAAAABC', 'closed', 'three of eight tenants, however often one of them fails'],
    ['abcdefghijABCD', 'closed', 'four of ten tenants'],
    ['abcdefghijABCDE', 'open', 'five of ten tenants: half of them'],
    ['ABCDEFGHabcdefghABC', 'closed', 'a tenant counts by its last exchange: three of eight'],
    ['aaaaaaaaaaABC', 'open', 'all tenants fail now, though most exchanges were good'],
    ['ABabABabCabcABabc', 'closed', 'each of them has recovered before the third failed'],
  ]
  for (const [exchanges, state, why] of table) {
    test(`${exchanges}: ${state} (${why})`, async () => {
      const world = circuitWorld()
      await world.exchanges(exchanges)
      assert.equal(world.circuit.state(), state)
    })
  }

  for (const error of [
    throttled(),
    failure('upstream_unavailable', 'transient'),
    failure('consent_required', 'consent'),
    failure('federation_misconfigured', 'federation'),
    failure('identity_unavailable', 'network'),
  ]) {
    test(`never for ${error.code} ${error.reason}, however many tenants have it`, async () => {
      const world = circuitWorld()
      await world.exchanges('ABCDEFGHIJKLMNOPQRSTUVWXYZ', error)
      assert.equal(world.circuit.state(), 'closed')
    })
  }

  test('errors without a request neither count nor dilute', async () => {
    const world = circuitWorld()
    await world.exchanges('KLMNOPQRST', failure('identity_unavailable', 'network'))
    await world.exchanges('ABCABCABC')
    assert.equal(world.circuit.state(), 'closed')
    await world.exchanges('A')
    assert.equal(world.circuit.state(), 'open')
  })

  test('for what happened within ten seconds', async () => {
    const world = circuitWorld()
    await world.exchanges('ABCDEFGHI')
    world.clock.advance(10_000)
    await world.exchanges('J')
    assert.equal(world.circuit.state(), 'closed')
  })

  test('also for what is just not ten seconds old', async () => {
    const world = circuitWorld()
    await world.exchanges('ABCDEFGHI')
    world.clock.advance(9_999)
    await world.exchanges('J')
    assert.equal(world.circuit.state(), 'open')
  })

  for (const [between, state] of [
    [497, 'open'],
    [498, 'closed'],
  ] as const)
    test(`for the last five hundred of those: ${state} after ${between} between the first and the last failure`, async () => {
      const world = circuitWorld()
      await world.exchanges(`BC${'a'.repeat(between)}D`)
      assert.equal(world.circuit.state(), state)
    })

  test('a wall clock that jumps changes nothing', async () => {
    const world = circuitWorld()
    await world.exchanges('ABCDEFGHI')
    world.clock.jumpWall(-86_400_000)
    await world.exchanges('J')
    assert.equal(world.circuit.state(), 'open')
    world.clock.jumpWall(86_400_000)
    assert.ok(isCircuitOpen(await world.succeed(), 2))
  })
})

describe('while it is open', () => {
  test('there is no request: callers get Retry-After at once', async () => {
    const world = circuitWorld()
    assert.ok(world.circuit.admits('a'))
    await world.open()
    assert.ok(!world.circuit.admits('a'))
    const before = world.calls()
    for (const [after, seconds] of [
      [0, 2],
      [999, 2],
      [1, 1],
      [999, 1],
    ] as const) {
      world.clock.advance(after)
      assert.ok(isCircuitOpen(await world.succeed(), seconds))
    }
    assert.equal(world.calls(), before)
  })

  test('a request from before it opened decides nothing', async () => {
    const world = circuitWorld()
    const slow = [world.begin('x'), world.begin('y')]
    await world.open()
    await slow[0]?.succeed()
    assert.equal(world.circuit.state(), 'open')
    world.clock.advance(2000)
    const probe = world.begin()
    await slow[1]?.succeed()
    assert.equal(world.circuit.state(), 'half-open')
    await probe.fail(networkError())
    assert.equal(world.circuit.state(), 'open')
  })
})

describe('after two seconds', () => {
  test('one exchange finds out; the others hear that it is open', async () => {
    const world = circuitWorld()
    await world.open()
    world.clock.advance(2000)
    const before = world.calls()
    const probe = world.begin('p')
    for (const tenant of 'pqr') assert.ok(isCircuitOpen(await world.succeed(tenant), 1))
    assert.equal(world.calls(), before + 1)
    await probe.succeed()
    assert.equal(await world.succeed(), 'token')
  })

  for (const error of [throttled(), failure('consent_required', 'consent')]) {
    test(`a response of any kind closes it: ${error.reason}`, async () => {
      const world = circuitWorld()
      await world.open()
      world.clock.advance(2000)
      await world.fail(error)
      assert.equal(world.circuit.state(), 'closed')
    })
  }

  test('no response: another two seconds', async () => {
    const world = circuitWorld()
    await world.open()
    world.clock.advance(2000)
    await world.fail(networkError())
    world.clock.advance(1999)
    assert.ok(isCircuitOpen(await world.succeed(), 1))
    world.clock.advance(1)
    assert.equal(await world.succeed(), 'token')
  })

  test('a probe that did not reach the authority says nothing: the next one may', async () => {
    const world = circuitWorld()
    await world.open()
    world.clock.advance(2000)
    await world.fail(failure('identity_unavailable', 'network'))
    assert.equal(world.circuit.state(), 'half-open')
    assert.equal(await world.succeed(), 'token')
    assert.equal(world.circuit.state(), 'closed')
  })

  test('closed again, it begins to count anew: late time-outs of before do not open it', async () => {
    const world = circuitWorld()
    const slow = 'abcdefghij'.split('').map(tenant => world.begin(tenant))
    await world.open()
    world.clock.advance(2000)
    await world.succeed()
    for (const each of slow) await each.fail(failure('upstream_unavailable', 'timeout'))
    await world.exchanges('ABCDEFGHI')
    assert.equal(world.circuit.state(), 'closed')
  })
})

test('changes are announced, with the wall time', async () => {
  const world = circuitWorld()
  assert.equal(world.circuit.since(), noon)
  await world.open()
  world.clock.advance(5000)
  await world.fail(networkError())
  world.clock.advance(2000)
  await world.succeed()
  assert.deepEqual(world.changes, [
    'open after 0 ms',
    'half-open after 5000 ms',
    'open after 5000 ms',
    'half-open after 7000 ms',
    'closed after 7000 ms',
  ])
  assert.equal(world.circuit.since(), noon + 7000)
})

test('what is thrown besides our errors comes out as internal_error', async () => {
  const thrown = await circuitWorld().fail(new TypeError('a bug'))
  assert.ok(thrown instanceof BrokerError && thrown.code === 'internal_error')
})
