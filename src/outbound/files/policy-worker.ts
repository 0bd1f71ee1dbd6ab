import { workerData, type MessagePort } from 'node:worker_threads'
import { readPolicyText } from '../../broker/policy/file/parse.ts'
import { partsOf, type PolicyPart } from '../../broker/policy/file/policy-parts.ts'
import { InvalidConfigurationError, type ConfigurationError } from '../../errors.ts'

/**
 * Runs in a worker thread: parses and validates the text of a policy, and sends its parts through a port. `policy-thread.ts`
 * is the other end.
 */

/** What the thread is started with. */
export interface PolicyWorkerData {
  readonly text: string
  readonly port: MessagePort
}

/** What it sends: the parts in their order, and then the end; or only the errors. */
export type PolicyMessage =
  | { readonly part: PolicyPart }
  | { readonly isEnd: true }
  | { readonly subject: string; readonly errors: readonly ConfigurationError[] }

function readInto(text: string, send: (message: PolicyMessage) => void): void {
  try {
    for (const part of partsOf(readPolicyText(text))) send({ part })
    send({ isEnd: true })
  } catch (thrown) {
    if (!(thrown instanceof InvalidConfigurationError)) throw thrown
    send({ subject: thrown.message.slice(0, thrown.message.indexOf(':\n')), errors: thrown.errors })
  }
}

const { text, port }: PolicyWorkerData = workerData
readInto(text, message => port.postMessage(message))
port.close()
