/**
 * What is wrong, the most serious first, and the one sentence about it. Without the DOM.
 * @import { Finding, Level } from './finding.ts'
 * @import { Snapshot } from './responses.ts'
 */
import { endFindings, policyFindings, readinessFindings } from './broker-findings.js'
import { plural } from './format.js'
import { applicationFindings, authorityFindings, clockFindings, slowFindings } from './entra-findings.js'
import { restartWarnings } from './restart.js'
import { tenantFindings } from './tenant-findings.js'
import { denialFindings, limitFindings } from './traffic-findings.js'
import { identityFindings, issuerFindings, redisFindings } from './upstream-findings.js'

/** In this order within a level: what causes others comes before them. */
const rules = [
  clockFindings,
  identityFindings,
  applicationFindings,
  authorityFindings,
  issuerFindings,
  readinessFindings,
  tenantFindings,
  limitFindings,
  slowFindings,
  redisFindings,
  policyFindings,
  endFindings,
  denialFindings,
]

/** @type {readonly Level[]} */
const levels = ['failing', 'partial', 'attention', 'notice']

/**
 * Everything that is not as it should be, the most serious first.
 * @param {Snapshot} snapshot
 * @returns {readonly Finding[]}
 */
export function findings(snapshot) {
  const all = rules.flatMap(rule => rule(snapshot)).map(finding => withWarnings(finding, snapshot))
  return levels.flatMap(level => all.filter(finding => finding.level === level))
}

/**
 * @param {Finding} finding
 * @param {Snapshot} snapshot
 * @returns {Finding}
 */
const withWarnings = (finding, snapshot) => ({
  ...finding,
  warnings: [...(finding.warnings ?? []), ...restartWarnings(finding, snapshot)],
})

/**
 * What to say in place of an empty list of cached failures. The list has failures of applications, tenants and keys only: it
 * is empty too while something else fails.
 * @param {readonly Finding[]} found
 */
export const noFailures = found =>
  found.some(({ level }) => level !== 'notice')
    ? 'No failure of an application or a tenant is cached. “What to do”, above, says what is wrong.'
    : 'No failure of an application or a tenant is cached.'

const words = { failing: 'Failing', partial: 'Partly failing', attention: 'Needs attention' }

/**
 * The state of the broker in a word and in one sentence.
 * @param {readonly Finding[]} found in the order of {@link findings}
 * @returns {{ level: Level | 'ok', word: string, sentence: string }}
 */
export function verdict(found) {
  const [first] = found
  if (!first || first.level === 'notice')
    return { level: 'ok', word: 'All well', sentence: 'Tokens are issued, and nothing needs attention.' }
  const others = found.filter(({ level }) => level !== 'notice').length - 1
  const more = others > 0 ? ` – and ${plural(others, 'other problem')}` : ''
  return { level: first.level, word: words[first.level], sentence: `${first.sentence}${more}.` }
}
