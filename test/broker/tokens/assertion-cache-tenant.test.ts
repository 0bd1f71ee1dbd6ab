import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { encode, ids } from '../../support/callers.ts'
import { assertionWorld } from './assertion-world.ts'

const hours = 60 * 60_000

describe('the home tenant', () => {
  const token = (claims: unknown) => `${encode({ alg: 'RS256' })}.${encode(claims)}.x`

  test('is unknown at first, then the `tid` of the token in lower case', async () => {
    const { assertions, get, world } = assertionWorld()
    assert.equal(assertions.homeTenant(), undefined)
    world.next = { token: token({ tid: ids.home.toUpperCase() }) }
    await get()
    assert.equal(assertions.homeTenant(), ids.home)
  })

  for (const [what, text] of [
    ['opaque', 'opaque'],
    ['without tid', token({})],
    ['with a tid that is no string', token({ tid: 7 })],
  ] as const) {
    test(`stays unknown if the token is ${what}, and stays known once it was known`, async () => {
      const { assertions, get, world, clock } = assertionWorld()
      world.next = { token: text }
      await get()
      assert.equal(assertions.homeTenant(), undefined)
      world.next = { token: token({ tid: ids.home }) }
      clock.advance(24 * hours)
      await get()
      world.next = { token: text }
      clock.advance(24 * hours)
      await get()
      assert.equal(assertions.homeTenant(), ids.home)
    })
  }
})
