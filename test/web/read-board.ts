import type { TestBroker } from '../support/broker.ts'
import { deadlineText, whenText } from '../../web/model/format.js'
import { readSnapshot } from '../../web/model/snapshot.js'
import { findings, verdict } from '../../web/model/verdict.js'
import type { Client, Query } from '../../web/model/responses.ts'

/** Reads what the page reads, as the page does, and returns the sentence and what is said of the first finding. */
export async function readBoard(broker: TestBroker, now: number) {
  const get = async (path: string, query: Query = {}) => {
    const parameters = Object.entries(query).filter(([, value]) => value !== undefined) as [string, string][]
    const { status, json, text } = await broker.get(`/${path}?${new URLSearchParams(parameters).toString()}`)
    if (status !== 200) throw new Error(`${path}: ${status} ${text}`)
    return { body: json, now }
  }
  const snapshot = await readSnapshot({ get } as unknown as Client)
  const found = findings(snapshot)
  const [worst] = found
  return {
    snapshot,
    found,
    ...verdict(found),
    first: worst?.actions[0] ?? '',
    warnings: worst?.warnings?.join('\n') ?? '',
    recovery: worst?.recovery ?? '',
    deadline: worst?.deadline ? deadlineText(worst.deadline, now) : '',
    affected: worst ? [worst.affected, whenText(worst, now)].filter(text => text !== '').join(', ') : '',
    facts: worst?.facts?.values.map(pair => pair.join(' ')).join('\n') ?? '',
  }
}
