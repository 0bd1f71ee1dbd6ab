import type { TestBroker } from '../support/broker.ts'
import { whenText } from '../../web/model/format.js'
import { findings, verdict } from '../../web/model/verdict.js'
import type { Cache, Decisions, Failures, Health, Snapshot } from '../../web/model/responses.ts'

/** Reads what the page reads, as the page does, and returns the sentence and what is said of the first finding. */
export async function readBoard(broker: TestBroker, now: number) {
  const read = async (path: string): Promise<unknown> => {
    const { status, json, text } = await broker.get(path)
    if (status !== 200) throw new Error(`${path}: ${status} ${text}`)
    return json
  }
  const snapshot: Snapshot = {
    now,
    health: (await read('/health')) as Health,
    cache: (await read('/cache')) as Cache,
    failures: ((await read('/cache/failures')) as Failures).failures,
    hasMoreFailures: false,
    decisions: ((await read('/decisions')) as Decisions).decisions,
    hasMoreDecisions: false,
  }
  const found = findings(snapshot)
  const [worst] = found
  return {
    snapshot,
    found,
    ...verdict(found),
    first: worst?.actions[0] ?? '',
    affected: worst ? `${worst.affected}, ${whenText(worst, now)}` : '',
    facts: worst?.facts?.values.map(pair => pair.join(' ')).join('\n') ?? '',
  }
}
