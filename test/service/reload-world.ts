import { mkdtemp, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import type { Json } from '../../emulator/jws.ts'
import { graph, policyOf, sampleCaller, startWorld } from '../support/broker.ts'

export const world = await startWorld()
const { emulator } = world
/** The policy with which {@link start} begins, unless parts of it are replaced. */
export const base = policyOf(emulator)
export const rule = { name: 'sample', callers: [sampleCaller], tenants: ['contoso', 'fabrikam'], scopes: [graph] }
export const looks = { name: 'looks', callers: [sampleCaller], permissions: ['observe'] }

/** A broker whose policy is a file that `write` replaces; it is read again when `reload` is called. */
export async function start(t: TestContext, first: Json = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const file = join(folder, 'policy.yaml')
  const textOf = (policy: Json): string => JSON.stringify({ ...base, rules: [rule, looks], ...policy })
  const write = async (content: Json | string): Promise<void> => {
    // Written long ago, and then renamed: such a file is complete.
    await writeFile(`${file}.new`, typeof content === 'string' ? content : textOf(content))
    await utimes(`${file}.new`, 0, 0)
    await rename(`${file}.new`, file)
  }
  await write(first)
  const environment = { BROKER_POLICY_FILE: file }
  const broker = await world.broker(t, { policy: { rules: [rule, looks], ...first }, environment })
  const change = async (content: Json | string) => {
    await write(content)
    await broker.service.reload()
  }
  const token = await emulator.mintCallerToken({}, { expiresIn: 36_000 })
  const statusFor = async (tenant = 'contoso') =>
    (await broker.requestToken({ tenant, scope: graph }, { token })).status
  const seen = async (path: string) => {
    const url = `${broker.url}${path}`
    const response = await fetch(url, { headers: { authorization: `Bearer ${token}` } })
    assert.equal(response.status, 200)
    return response.text()
  }
  const health = async () => JSON.parse(await seen('/health')) as { status: string; policy: Record<string, unknown> }
  return { broker, change, write, token, statusFor, health, metrics: () => seen('/metrics'), folder, textOf }
}
