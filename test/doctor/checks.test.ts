import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { checkTable, sections, type CheckId } from '../../src/doctor/check-table.ts'
import { Checks, failed, notApplicable, ok, statuses, warning, type Finding } from '../../src/doctor/checks.ts'
import { closingText, createTextWriter, reportOf } from '../../src/doctor/report.ts'
import { idsOf, startDoctorWorld } from './world.ts'

const world = await startDoctorWorld()

/** Checks whose clock moves with `advance`. */
function start(totalMs = 60_000) {
  let now = 0
  const findings: Finding[] = []
  const checks = new Checks({ monotonic: () => now, totalMs, found: finding => findings.push(finding) })
  return { checks, findings, advance: (ms: number) => void (now += ms) }
}

describe('checks', () => {
  test('one that fails is the reason of all that need it, also through others', async () => {
    const { checks, findings } = start()
    const dns = await checks.run('network.dns', {}, () => failed({ text: 'unknown', fix: ['nslookup'] }))
    const tcp = await checks.run('network.tcp', { dns }, () => ok(true, 'never'))
    await checks.run('network.tls', { tcp }, () => ok(true, 'never'))
    const independent = await checks.run('settings.policy', {}, () => ok('value', 'valid'))
    assert.deepEqual(
      findings.map(({ id, status, because }) => [id, status, because]),
      [
        ['network.dns', 'failed', undefined],
        ['network.tcp', 'skipped', 'network.dns'],
        ['network.tls', 'skipped', 'network.dns'],
        ['settings.policy', 'ok', undefined],
      ],
    )
    assert.deepEqual(independent, { ok: true, value: 'value' })
  })

  test('one with a warning, or that does not apply but has a value, does not keep others from being made', async () => {
    const { checks, findings } = start()
    const proxy = await checks.run('network.proxy', {}, () => notApplicable('none', 'direct'))
    const dns = await checks.run('network.dns', { proxy }, values =>
      warning(values.proxy, { text: 'slow', fix: ['x'] }),
    )
    await checks.run('network.tcp', { dns }, values => ok(true, values.dns))
    assert.deepEqual(
      findings.map(({ status }) => status),
      ['skipped', 'warning', 'ok'],
    )
    assert.equal(findings[2]?.text, 'direct')
  })

  test('one that never ends fails at its deadline', async () => {
    const { checks, findings } = start()
    await checks.run('network.dns', {}, () => new Promise<never>(() => undefined), 20)
    assert.match(findings[0]?.text ?? '', /there was no result within 1 s/)
    assert.equal(findings[0]?.status, 'failed')
  })

  test('once the total time is over, each is failed, not made', async () => {
    const { checks, findings, advance } = start(1_000)
    advance(1_000)
    await checks.run('network.dns', {}, () => assert.fail('made'))
    assert.match(findings[0]?.text ?? '', /the time for all checks, 1 s, is over/)
    assert.equal(findings[0]?.status, 'failed')
  })

  test('an error that no check expects is a bug, and not a result', async () => {
    const { checks } = start()
    await assert.rejects(
      checks.run('network.dns', {}, () => {
        throw new Error('a bug')
      }),
      /a bug/,
    )
  })
})

test('an examination that has no time left reports that, and ends', async t => {
  const report = await world.examine(t, { totalMs: 0 })
  assert.equal(report.ok, false)
  assert.deepEqual(report.first?.id, 'settings.environment')
  assert.match(report.first?.text ?? '', /the time for all checks, 0 s, is over/)
  assert.equal(report.exchanges, 0)
})

describe('the report', () => {
  const findings: readonly Finding[] = [
    { id: 'settings.environment', status: 'ok', text: 'valid' },
    { id: 'settings.environment', status: 'warning', text: 'old', fix: ['unset it'] },
    { id: 'network.dns', status: 'failed', text: 'unknown', advice: 'Look at DNS.', fix: ['nslookup a', 'nslookup b'] },
    { id: 'network.tcp', status: 'skipped', text: 'skipped because of network.dns', because: 'network.dns' },
    { id: 'issuers.keys', status: 'failed', subject: 'cluster', text: 'HTTP 401', fix: ['kubectl'] },
  ]
  const report = reportOf(findings, { startedAt: Date.UTC(2026, 0, 2), ms: 1234.5678, exchanges: 3 })

  test('in JSON has every line, and the first that failed', () => {
    const { checks, first, ...rest } = report
    assert.deepEqual(rest, {
      version: 1,
      ok: false,
      started_at: '2026-01-02T00:00:00.000Z',
      seconds: 1.235,
      exchanges: 3,
    })
    assert.deepEqual(first, checks[2])
    assert.deepEqual(checks[3], {
      id: 'network.tcp',
      section: 'network',
      status: 'skipped',
      text: 'skipped because of network.dns',
      because: 'network.dns',
    })
  })

  test('in words has a heading for each section, a mark for each line, and what to do first at its end', () => {
    let text = ''
    const write = createTextWriter(part => (text += part))
    for (const finding of findings) write(finding)
    assert.equal(
      text + closingText(report),
      `Settings
  √ settings.environment  valid
  ‼ settings.environment  old
      fix: unset it

Way to Entra
  × network.dns  unknown
      Look at DNS.
      fix: nslookup a
      fix: nslookup b
  – network.tcp  skipped because of network.dns

Issuers of callers
  × issuers.keys  cluster: HTTP 401
      fix: kubectl

Do this first, for network.dns:
  nslookup a
  nslookup b
ok: 1, warnings: 1, failed: 2, skipped: 1; requests for tokens: 3
`,
    )
  })
})

test('the checks of one run are in the order of the table, and each of its sections is one', async t => {
  const report = await world.examine(t)
  const order = Object.keys(checkTable)
  const sectionOrder = Object.keys(sections)
  const seen = [...new Set(report.checks.map(({ section }) => section))]
  assert.deepEqual(seen, sectionOrder)
  const ids: readonly CheckId[] = statuses.flatMap(status => idsOf(report, status))
  assert.ok(ids.every(id => order.includes(id)))
  for (const [id, { section }] of Object.entries(checkTable)) assert.ok(id.startsWith(`${section}.`), id)
})
