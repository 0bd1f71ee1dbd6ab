import type { FastifyInstance } from 'fastify'

/**
 * Adds the probes: open, with nothing but the verdict. `/livez` says that the process answers; `/readyz` that it should
 * get requests.
 */
export function addProbes(app: FastifyInstance, isReady: () => boolean): void {
  app.get('/livez', (_request, reply) => reply.header('cache-control', 'no-store').send({ status: 'ok' }))
  app.get('/readyz', (_request, reply) => {
    const ready = isReady()
    return reply
      .code(ready ? 200 : 503)
      .header('cache-control', 'no-store')
      .send({ status: ready ? 'ready' : 'not ready' })
  })
}
