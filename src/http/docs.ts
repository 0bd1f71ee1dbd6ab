import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { parse } from 'yaml'
import { BrokerError } from '../errors.ts'

/** The page: Swagger UI over `/openapi.json`, every part of it from this server. */
const page = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Tenant token broker: API</title>
    <link rel="icon" type="image/png" href="docs/favicon-32x32.png">
    <link rel="stylesheet" href="docs/swagger-ui.css">
  </head>
  <body>
    <div id="docs"></div>
    <noscript>This page needs JavaScript; <a href="openapi.json">openapi.json</a> does not.</noscript>
    <script src="docs/swagger-ui-bundle.js"></script>
    <script src="docs/start.js"></script>
  </body>
</html>
`

const start = `SwaggerUIBundle({ url: 'openapi.json', dom_id: '#docs', validatorUrl: null, supportedSubmitMethods: [] })
`

/** Swagger UI's own files: nothing else of the folder is served. */
const assets: Readonly<Record<string, string>> = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  'favicon-32x32.png': 'image/png',
}

/** Nothing from elsewhere, no inline script; Swagger UI's icons are data URLs and it sets styles by itself. */
const headers = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-cache',
}

/**
 * Adds `/openapi.json` and `/docs`: open, static, without data of this broker. Files are read when they are asked for
 * first: few replicas are ever asked.
 *
 * @param root the folder that holds `openapi.yaml` and `node_modules`
 */
export function addDocs(app: FastifyInstance, root: string): void {
  const description = readOnce(() => readDescription(root))
  const files = new Map(Object.keys(assets).map(file => [file, readOnce(() => readAsset(root, file))]))
  const config = { endpoint: 'docs' }

  app.get('/openapi.json', { config }, async (_request, reply) => {
    const text = await description()
    return reply.headers(headers).type('application/json; charset=utf-8').send(text)
  })
  app.get('/docs', { config }, (_request, reply) => reply.headers(headers).type('text/html; charset=utf-8').send(page))
  app.get('/docs/start.js', { config }, (_request, reply) =>
    reply.headers(headers).type('text/javascript; charset=utf-8').send(start),
  )
  app.get<{ Params: { file: string } }>('/docs/:file', { config }, async ({ params: { file } }, reply) => {
    const read = files.get(file)
    if (!read) throw new BrokerError('not_found', 'No endpoint has this path.')
    const content = await read()
    return reply
      .headers(headers)
      .type(assets[file] ?? '')
      .send(content)
  })
}

/** Keeps what was read; a failure is not kept. */
function readOnce<T>(read: () => Promise<T>): () => Promise<T> {
  let kept: Promise<T> | undefined
  return () => {
    kept ??= read().catch((thrown: unknown) => {
      kept = undefined
      throw thrown
    })
    return kept
  }
}

const readDescription = async (root: string): Promise<string> =>
  JSON.stringify(parse(await readFile(join(root, 'openapi.yaml'), 'utf8')))

function readAsset(root: string, file: string): Promise<Buffer> {
  const swaggerUi = createRequire(join(root, 'package.json')).resolve('@fastify/swagger-ui/package.json')
  return readFile(join(swaggerUi, '..', 'static', file))
}
