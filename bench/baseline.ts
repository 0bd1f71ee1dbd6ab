import { readFileSync } from 'node:fs'
import { fastify } from 'fastify'

/**
 * The baseline of `npm run bench`: a bare Fastify route that returns the same bytes as the broker for the same request,
 * without authentication. RESPONSES names a JSON file that maps a tenant to a response body.
 */
const responses = new Map(Object.entries(JSON.parse(readFileSync(process.env['RESPONSES'] ?? '', 'utf8')) as object))
const headers = {
  'content-type': 'application/json; charset=utf-8',
  'cache-control': 'no-store',
  pragma: 'no-cache',
  'cache-status': 'token-broker; hit; ttl=86340',
}

const app = fastify({ keepAliveTimeout: 245_000 })
app.post<{ Body: { tenant: string } }>('/tokens', (request, reply) => {
  reply.headers(headers).send(responses.get(request.body.tenant))
})
process.once('SIGTERM', () => process.exit(0))
await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT']) })
