import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { circuitWorld, failure, isCircuitOpen, networkError } from './circuit-world.ts'

describe('while the circuit is half-open', () => {
  test('beside a probe that hangs, another one is made every two seconds, and the first response of any closes it', async () => {
    for (const responds of [0, 1, 2]) {
      const world = circuitWorld()
      await world.open()
      const probes: ReturnType<typeof world.begin>[] = []
      for (let n = 0; n < 3; n++) {
        world.clock.advance(2000)
        assert.ok(world.circuit.admits('a'))
        probes.push(world.begin())
        world.clock.advance(1999)
        assert.ok(isCircuitOpen(await world.succeed(), 1))
        assert.ok(!world.circuit.admits('a'))
        world.clock.advance(-1999)
      }
      await probes[responds]?.succeed()
      assert.equal(world.circuit.state(), 'closed', `probe ${responds}`)
      for (const probe of probes) await probe.fail(failure('upstream_unavailable', 'timeout'))
      assert.equal(world.circuit.state(), 'closed', 'the others decide nothing afterwards')
    }
  })

  test('the failure of a probe that was replaced decides nothing', async () => {
    const world = circuitWorld()
    await world.open()
    world.clock.advance(2000)
    const slow = world.begin()
    world.clock.advance(2000)
    const second = world.begin()
    await slow.fail(failure('upstream_unavailable', 'timeout'))
    assert.equal(world.circuit.state(), 'half-open')
    await second.fail(networkError())
    assert.equal(world.circuit.state(), 'open')
  })

  test('a tenant that fails by itself leaves the next probe to one that waits, so that it does not keep the circuit open', async () => {
    const world = circuitWorld()
    await world.open()
    world.clock.advance(2000)
    await world.fail(networkError(), 'own')
    world.clock.advance(1900)
    assert.ok(isCircuitOpen(await world.succeed('other'), 1))
    world.clock.advance(100)
    assert.ok(!world.circuit.admits('own'))
    assert.ok(isCircuitOpen(await world.fail(networkError(), 'own'), 1))
    assert.equal(await world.succeed('other'), 'token')
    assert.equal(world.circuit.state(), 'closed')
  })

  test('but does not wait for a tenant that no longer requests', async () => {
    const world = circuitWorld()
    await world.open()
    world.clock.advance(2000)
    await world.fail(networkError(), 'own')
    assert.ok(isCircuitOpen(await world.succeed('other'), 2))
    world.clock.advance(2000)
    assert.equal(await world.succeed('own'), 'token')
  })
})
