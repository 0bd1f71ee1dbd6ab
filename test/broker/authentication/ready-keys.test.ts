import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { fetchedJwks, readyKeys } from '../../../src/broker/authentication/jwks.ts'
import { BrokerError } from '../../../src/errors.ts'
import { makeKey } from '../../support/callers.ts'
import { movableClock } from '../../support/clock.ts'
import { startWorld, until } from '../../support/broker.ts'

const { jwk } = makeKey('ES256', 'one')
/** An issuer that publishes its keys, or is unavailable for this reason. */
const issuer = (name: string, failure?: string) => {
  const fetchKeys = () =>
    failure === undefined ? Promise.resolve({ keys: [jwk] }) : Promise.reject(new Error(failure))
  return { name, keys: fetchedJwks(name, fetchKeys, movableClock()) }
}

describe('the keys of at least one issuer', () => {
  test('are ready when one of several issuers has them, or when there is no issuer', async () => {
    await readyKeys([issuer('entra', 'unavailable'), issuer('onprem')])
    await readyKeys([])
  })

  test('are missing: the error has each issuer with its reason, and a remedy', async () => {
    const missing = readyKeys([
      issuer('entra', 'https://a.example responded HTTP 500'),
      issuer('onprem', 'no such name'),
    ])
    await assert.rejects(missing, (thrown: unknown) => {
      assert.ok(thrown instanceof BrokerError)
      assert.deepEqual(
        [thrown.code, thrown.reason, thrown.message],
        [
          'issuer_unavailable',
          'keys',
          "No issuer's keys could be fetched: entra (https://a.example responded HTTP 500); onprem (no such name).",
        ],
      )
      assert.match(thrown.parts.remedy ?? '', /jwksUri.*jwksFile/)
      return true
    })
  })
})

test('the line "not ready yet" says which issuer, why, and what to do', async t => {
  const { emulator, broker: start } = await startWorld()
  const broker = await start(t)
  emulator.fault({ kind: 'server-error', at: 'callers', status: 500 })
  void broker.service.warmUp()
  const lines = () => broker.logLines().filter(({ waiting_for: need }) => need === "an issuer's keys")
  await until('the line', () => lines().length > 0)
  const [{ level, msg, outcome, reason, remedy, err } = {}] = lines()
  assert.deepEqual([level, msg, outcome, reason], ['warn', 'not ready yet', 'issuer_unavailable', 'keys'])
  assert.match(String(remedy), /discovery document/)
  assert.match(JSON.stringify(err), /emulator \(http.+ responded HTTP 500\)/)
})
