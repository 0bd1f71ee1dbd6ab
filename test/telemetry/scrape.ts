import assert from 'node:assert/strict'
import type { TestBroker } from '../support/broker.ts'

/** One line with a value. */
export interface Series {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** A parsed response of `/metrics`. */
export interface Scrape {
  readonly text: string
  /** Metric → its `# TYPE`. */
  readonly types: ReadonlyMap<string, string>
  /** Metric → its `# HELP`. */
  readonly helps: ReadonlyMap<string, string>
  /** By the text before the value: `name{label="value"}`. */
  readonly series: ReadonlyMap<string, Series>
}

/**
 * Reads the text exposition format, version 0.0.4
 * (https://github.com/prometheus/docs/blob/main/docs/instrumenting/exposition_formats.md). Fails on any line that it
 * does not know and on a series that comes twice.
 */
export function readScrape(text: string): Scrape {
  const types = new Map<string, string>()
  const helps = new Map<string, string>()
  const series = new Map<string, Series>()
  for (const line of text.split('\n').filter(each => each !== '')) {
    const [, kind, about = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? []
    if (kind === undefined) {
      const { key, ...one } = readSeries(line)
      assert.ok(!series.has(key), `twice: ${key}`)
      series.set(key, one)
    } else {
      const described = kind === 'TYPE' ? types : helps
      assert.ok(!described.has(about), `twice: ${line}`)
      described.set(about, rest)
    }
  }
  return { text, types, helps, series }
}

function readSeries(line: string): Series & { readonly key: string } {
  const found = /^(([a-z][a-z0-9_]*)(?:\{(.*)\})?) (\S+)$/.exec(line)
  assert.ok(found, `not a line of the format: ${line}`)
  const [, key = '', name = '', labelText = '', number = ''] = found
  const pairs = [...labelText.matchAll(/([a-z_][a-z0-9_]*)="((?:[^"\\]|\\[\\"n])*)"(?:,|$)/g)]
  assert.equal(pairs.map(([pair]) => pair).join(''), labelText, `not labels: ${line}`)
  const labels = Object.fromEntries(pairs.map(([, label = '', value = '']) => [label, value]))
  const value = number.toLowerCase() === 'nan' ? Number.NaN : Number(number.replace('Inf', 'Infinity'))
  return { key, name, labels, value }
}

/** Requests the metrics of a broker. */
export async function scrape(broker: TestBroker, token?: string): Promise<Scrape> {
  const { status, text } = await broker.get('/metrics', token === undefined ? {} : { token })
  assert.equal(status, 200, text)
  return readScrape(text)
}

/** The value of a series, named as in the text; `undefined` where there is none. */
export const valueOf = ({ series }: Scrape, key: string): number | undefined => series.get(key)?.value

/** Counts of the process and of looking at it; and of what is counted as a request already, with its duration. */
const byItself = /^process_|^token_broker_requests_total\{endpoint="metrics"|^token_broker_request_duration_seconds/

/**
 * By how much each counter moved between two scrapes, of a histogram its `_count`; those that did not move are left out,
 * and so are the CPU time and the scrapes themselves.
 */
export function movesBetween(before: Scrape, after: Scrape): Record<string, number> {
  const moves: Record<string, number> = {}
  for (const [key, { name, value }] of after.series) {
    const counted = after.types.get(name) === 'counter' || after.types.get(name.replace(/_count$/, '')) === 'histogram'
    const moved = value - (valueOf(before, key) ?? 0)
    if (counted && moved !== 0 && !byItself.test(key)) moves[key] = moved
  }
  return moves
}
