import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { tenantReasons } from '../../scripts/monitoring/request-errors.ts'
import { errorTable, reasonTable } from '../../src/errors.ts'
import { reasons } from '../support/reasons.ts'
import { read } from '../support/sources.ts'
import { full, listAt, small, snapshots, type Json, type Resource } from './template.ts'

const page = read('docs/audit.md')
const events = new Set([...page.matchAll(/^\| `([a-z]+\.[a-z_]+)` \|/gm)].map(([, event]) => event))
const fields = new Set([...page.matchAll(/^\| `([a-z_]+)` \| (?:text|number|object)/gm)].map(([, field]) => field))

const alertsOf = (snapshot: typeof small): readonly Resource[] => snapshot.all('Microsoft.Insights/scheduledQueryRules')
const queryOf = (alert: Resource): string => String(listAt(alert, 'properties', 'criteria', 'allOf')[0]?.['query'])

/** The queries of the workbook, as the deployment writes it. */
function workbookQueries(snapshot: typeof small): readonly string[] {
  const text = String(snapshot.one('Microsoft.Insights/workbooks').properties['serializedData'])
  return listAt(JSON.parse(text), 'items')
    .map(({ content }) => (content as Json)['query'])
    .filter(query => query !== undefined)
    .map(String)
}

const queries = [...alertsOf(small).map(queryOf), ...workbookQueries(small)]

describe('the queries of the alerts and of the workbook', () => {
  test('are as many as there are', () => {
    assert.equal(alertsOf(small).length, 5)
    assert.equal(queries.length, 11)
    assert.ok(events.size >= 9 && fields.size >= 20)
  })

  test('read the lines of the broker, from the table to which the diagnostic setting writes', () => {
    for (const query of queries) {
      assert.match(
        query,
        /^ContainerAppConsoleLogs\n\| where ContainerAppName == 'token-broker'\n\| extend line = parse_json\(Log\)\n/,
      )
      assert.doesNotMatch(query, /<app>|\$\{/)
    }
    const environmentLog = small
      .all('Microsoft.Insights/diagnosticSettings')
      .find(({ id }) => id.includes('/Microsoft.App/managedEnvironments/'))
    assert.equal(environmentLog?.properties['logAnalyticsDestinationType'], 'Dedicated')
  })

  test('name events and fields that the audit log has', () => {
    for (const query of queries) {
      const named = [...query.matchAll(/'([a-z]+\.[a-z_]+)'/g)].map(([, event = '']) => event)
      assert.ok(named.length > 0, query)
      for (const event of named) assert.ok(events.has(event), event)
      for (const [, field = ''] of query.matchAll(/\bline\.(\w+)/g)) assert.ok(fields.has(field), field)
    }
  })

  test('name outcomes and reasons that exist', () => {
    const words = queries.flatMap(query =>
      [...query.matchAll(/'([a-z]+_[a-z_]+|overloaded|cloud|queue)'/g)].map(([, each = '']) => each),
    )
    assert.ok(words.filter(word => word in errorTable).length >= 7)
    const known = new Set<string>(reasons.map(({ reason }) => reason))
    for (const word of words) assert.ok(word in errorTable || known.has(word), word)
  })

  test('do not count as an outage what concerns one tenant, one agent identity or one caller', () => {
    const [listed = ''] = queries.flatMap(query => /line\.reason\) !in \(([^)]+)\)/.exec(query)?.[1] ?? [])
    const left = [...listed.matchAll(/'(\w+)'/g)].map(([, reason]) => reason)
    const ofTenants = tenantReasons.split('|').filter(reason => reason in reasonTable.federation_misconfigured)
    assert.deepEqual(new Set(left), new Set([...ofTenants, 'min_expires_in', 'queue']))
  })

  test('count a line of BROKER_AUDIT=summary as the requests that it stands for', () => {
    for (const query of queries) assert.match(query, /requests = coalesce\(tolong\(line\.repeated\), 1\)/)
  })
})

describe('alerts', () => {
  test('say what is wrong, and do not depend on a table that is still empty', () => {
    for (const snapshot of snapshots)
      for (const alert of [...alertsOf(snapshot), ...snapshot.all('Microsoft.Insights/metricAlerts')]) {
        assert.match(String(alert.properties['description']), /^[A-Z].+\.$/)
        assert.ok(Number(alert.properties['severity']) <= 3)
      }
    for (const alert of alertsOf(small)) assert.equal(alert.properties['skipQueryValidation'], true)
  })

  test('fire if fewer replicas run than there must be, or if they restart', () => {
    const conditions = full
      .all('Microsoft.Insights/metricAlerts')
      .map(alert => listAt(alert, 'properties', 'criteria', 'allOf')[0] ?? {})
    assert.deepEqual(
      conditions.map(({ metricName, operator, threshold }) => [metricName, operator, threshold]),
      [
        ['Replicas', 'LessThan', 3],
        ['RestartCount', 'GreaterThan', 2],
      ],
    )
  })

  test('reach the addresses that are given', () => {
    assert.deepEqual(small.all('Microsoft.Insights/actionGroups'), [])
    const [receiver] = listAt(full.one('Microsoft.Insights/actionGroups'), 'properties', 'emailReceivers')
    assert.equal(receiver?.['emailAddress'], 'platform@contoso.example')
    for (const alert of alertsOf(full)) assert.equal(listAt(alert, 'properties', 'actions', 'actionGroups').length, 1)
    for (const alert of full.all('Microsoft.Insights/metricAlerts'))
      assert.equal(listAt(alert, 'properties', 'actions').length, 1)
  })
})
