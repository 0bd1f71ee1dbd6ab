import type { FastifyInstance } from 'fastify'
import type { ServerSpans } from '../../../broker/lib/spans.ts'
import { timeRequests, type Timing } from './latency.ts'
import { addServerSpans } from './server-spans.ts'

/** How the requests of a server are observed. */
export interface Observation {
  /** Makes the spans of requests; absent if tracing is off. */
  readonly spans?: ServerSpans | undefined
  /** Times requests; absent if nothing needs it. */
  readonly timing?: Timing
}

/** Traces and times every request of a server. Must be called before other hooks are added. */
export function observeRequests(app: FastifyInstance, { spans, timing }: Observation = {}): void {
  timeRequests(app, timing)
  addServerSpans(app, spans)
}
