import { after } from 'node:test'
import { startWorld } from '../support/broker.ts'
import type { Failure, Snapshot, Upstream } from '../../web/model/responses.js'
import { readBoard } from './read-board.ts'

type LastError = NonNullable<Upstream['last_error']>

/** What the page reads of a broker that is well, and ways to change it. */
export async function wellBoard() {
  const world = await startWorld()
  const broker = await world.broker({ after })
  await broker.service.warmUp()
  await broker.requestToken()
  /** What the page reads of a broker that is well. */
  const { snapshot: well } = await readBoard(broker, world.clock.now())
  const iso = (secondsAgo: number): string => new Date(well.now - secondsAgo * 1000).toISOString()

  /** What `/health` has of an upstream's last error, a second ago. */
  const errorOf = (code: LastError['code'], reason: LastError['reason']): LastError => ({
    code,
    reason,
    detail: '',
    upstream_codes: [],
    presented: null,
    system_code: null,
    at: iso(1),
  })

  const withUpstream = (kind: Upstream['kind'], changes: Partial<Upstream>): Snapshot => ({
    ...well,
    health: {
      ...well.health,
      upstreams: well.health.upstreams.map(each => (each.kind === kind ? { ...each, ...changes } : each)),
    },
  })
  const failure = (nth: number, changes: Partial<Failure> = {}): Failure => ({
    application: 'default',
    client_id: '30000000-0000-4000-8000-000000000001',
    agent: null,
    agent_id: null,
    tenant: `40000000-0000-4000-8000-00000000000${nth}`,
    tenant_name: `tenant-${nth}`,
    scope: null,
    level: 'tenant',
    code: 'consent_required',
    reason: 'consent',
    codes: [7000229],
    presented: null,
    remedy: `Consent in ${nth}.`,
    since: iso(60 * nth),
    until: iso(-30),
    count: 1,
    ...changes,
  })
  return { well, iso, errorOf, withUpstream, failure }
}
