import { wrapped } from '../broker/lib/text/wrapped.ts'
import { checkTable, sections, type CheckId, type Section } from './check-table.ts'
import type { Finding, Status } from './checks.ts'

/** The JSON that `token-broker doctor --json` prints. docs/doctor.md describes it. Fields may be added; none changes. */
export interface Report {
  /** Of this format. */
  readonly version: 1
  /** Whether nothing failed. */
  readonly ok: boolean
  /** When the checks began, in the form of RFC 3339. */
  readonly started_at: string
  readonly seconds: number
  /** Token requests to Entra. */
  readonly exchanges: number
  /** The first line that failed: what to do before anything else. `null` if nothing failed. */
  readonly first: ReportedLine | null
  readonly checks: readonly ReportedLine[]
}

/** One line of the report. */
export interface ReportedLine {
  readonly id: CheckId
  readonly section: Section
  readonly status: Status
  readonly subject?: string
  readonly text: string
  readonly advice?: string
  readonly fix?: readonly string[]
  readonly because?: CheckId
}

/** What a report says besides the findings. */
export interface Summary {
  /** Milliseconds since 1970. */
  readonly startedAt: number
  readonly ms: number
  readonly exchanges: number
}

/** Makes the report of all findings. */
export function reportOf(findings: readonly Finding[], { startedAt, ms, exchanges }: Summary): Report {
  const checks = findings.map(({ id, ...line }): ReportedLine => ({ id, section: checkTable[id].section, ...line }))
  const first = checks.find(({ status }) => status === 'failed') ?? null
  return {
    version: 1,
    ok: first === null,
    started_at: new Date(startedAt).toISOString(),
    seconds: Math.round(ms) / 1000,
    exchanges,
    first,
    checks,
  }
}

const marks: Readonly<Record<Status, string>> = { ok: '√', warning: '‼', failed: '×', skipped: '–' }
const indent = '      '
/** Of advice. Fixes are not wrapped, so that they can be pasted. */
const adviceColumns = 114

/** Writes findings as text for people, each as soon as it is found. */
export function createTextWriter(out: (text: string) => void): (finding: Finding) => void {
  let section: Section | undefined
  return finding => {
    const next = checkTable[finding.id].section
    if (next !== section) out(`${section === undefined ? '' : '\n'}${sections[next]}\n`)
    section = next
    out(linesOf(finding))
  }
}

function linesOf({ id, status, subject, text, advice, fix = [] }: Finding): string {
  const about = subject === undefined ? '' : `${subject}: `
  const lines = [`  ${marks[status]} ${id}  ${about}${text}`]
  for (const each of advice === undefined ? [] : wrapped(advice, adviceColumns)) lines.push(`${indent}${each}`)
  for (const each of fix) lines.push(`${indent}fix: ${each}`)
  return `${lines.join('\n')}\n`
}

/** The last lines of the text: how many lines of each status there are, and what to do first. */
export function closingText({ checks, first, exchanges }: Report): string {
  const count = (status: Status): number => checks.filter(line => line.status === status).length
  const counts = `ok: ${count('ok')}, warnings: ${count('warning')}, failed: ${count('failed')}, skipped: ${count('skipped')}`
  const verdict =
    first === null
      ? 'Nothing failed.\n'
      : `Do this first, for ${first.id}${first.subject === undefined ? '' : ` (${first.subject})`}:\n` +
        (first.fix ?? []).map(each => `  ${each}\n`).join('')
  return `\n${verdict}${counts}; requests for tokens: ${exchanges}\n`
}
