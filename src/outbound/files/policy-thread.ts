import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import { MessageChannel, receiveMessageOnPort, Worker, type MessagePort } from 'node:worker_threads'
import { PolicyCompiler } from '../../broker/policy/file/compile.ts'
import type { Policy } from '../../broker/policy/model.ts'
import { versionOf } from '../../broker/policy/file/parse.ts'
import { InvalidConfigurationError } from '../../errors.ts'
import type { PolicyMessage, PolicyWorkerData } from './policy-worker.ts'

/** After this time a policy is given up. One of 16 MiB takes a few seconds of CPU time. */
const longestMs = 120_000
/** The memory of the thread, several times what the largest policy needs. */
const maxHeapMb = 1024

/** In the bundle, the worker is a program of its own beside it. */
const workerUrl = new URL(
  import.meta.url.endsWith('.ts') ? './policy-worker.ts' : './policy-worker.mjs',
  import.meta.url,
)

/**
 * Does what `parsePolicy` does without blocking the event loop: another thread parses and validates the text, and this one
 * compiles it part by part, one in each turn of the event loop.
 *
 * @param deadlineMs after which the thread is stopped
 * @throws InvalidConfigurationError with every error, also if the thread ends early or does not end in time
 */
export async function parsePolicyInThread(text: string, deadlineMs = longestMs): Promise<Policy> {
  const { port1: port, port2 } = new MessageChannel()
  const data: PolicyWorkerData = { text, port: port2 }
  const worker = new Worker(workerUrl, {
    workerData: data,
    transferList: [port2],
    resourceLimits: { maxOldGenerationSizeMb: maxHeapMb },
  })
  try {
    await once(worker, 'exit', { signal: AbortSignal.timeout(deadlineMs) })
    return await compileParts(port, versionOf(text))
  } catch (thrown) {
    if (thrown instanceof InvalidConfigurationError) throw thrown
    throw unread(
      thrown instanceof Error && thrown.name === 'AbortError'
        ? `took more than ${deadlineMs / 1000} s`
        : String(thrown),
    )
  } finally {
    port.close()
    await worker.terminate()
  }
}

/** Compiles what the port has received. Not more than a part in a turn, since each takes some milliseconds. */
async function compileParts(port: MessagePort, version: string): Promise<Policy> {
  const compiler = new PolicyCompiler()
  for (;;) {
    const received: { readonly message: PolicyMessage } | undefined = receiveMessageOnPort(port)
    if (received === undefined) throw unread('ended too early')
    const { message } = received
    if ('errors' in message) throw new InvalidConfigurationError(message.subject, message.errors)
    if ('isEnd' in message) return compiler.finish(version)
    compiler.add(message.part)
    await setImmediate()
  }
}

const unread = (what: string) =>
  new InvalidConfigurationError('The policy cannot be read', [{ where: 'file', what: `reading it ${what}` }])
