import { readFileSync } from 'node:fs'
import { fastify } from 'fastify'

/**
 * What the broker is compared with: a bare Fastify route that returns the same bytes for the same request, without
 * looking at who asks. ANSWERS names a JSON file of tenant → body.
 */
const answers = new Map(Object.entries(JSON.parse(readFileSync(process.env['ANSWERS'] ?? '', 'utf8')) as object))
const headers = {
  'content-type': 'application/json; charset=utf-8',
  'cache-control': 'no-store',
  pragma: 'no-cache',
  'cache-status': 'token-broker; hit; ttl=86340',
}

const app = fastify({ keepAliveTimeout: 245_000 })
app.post<{ Body: { tenant: string } }>('/tokens', (request, reply) => {
  reply.headers(headers).send(answers.get(request.body.tenant))
})
process.once('SIGTERM', () => process.exit(0))
await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT']) })
