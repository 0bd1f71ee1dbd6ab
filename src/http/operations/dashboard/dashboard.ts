import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { BrokerError } from '../../../errors.ts'
import { problems, routeErrors } from '../../schemas/problem-responses.ts'
import { readOnce } from '../read-once.ts'
import { etagOf, library, readLibrary, readPage, type PageFile } from './page-files.ts'
import { addSignIn, connectOrigins, type FindSignIn } from './sign-in.ts'

/**
 * The page runs only its own scripts, sends requests only to this broker and to the token endpoint with which people sign in,
 * and cannot be framed. It cannot turn a text into markup or code, because it may create no policy for trusted types.
 */
const contentSecurityPolicy = (origins: readonly string[]): string =>
  `default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src ${["'self'", ...origins].join(' ')}; ` +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

const headers = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  // Browsers keep a copy, and compare its tag with the current one each time.
  'cache-control': 'no-cache',
}

/**
 * Adds `/dashboard` and the files that it loads: open and static, without data of this broker. The page asks for a
 * credential and reads the operations endpoints with it. All its files are read together on first use, because few replicas
 * ever get a request for them.
 *
 * @param root the folder of package.json
 * @param findSignIn says with which issuer people may sign in instead
 */
export function addDashboard(app: FastifyInstance, root: string, findSignIn: FindSignIn): void {
  addSignIn(app, findSignIn)
  const config = { endpoint: 'dashboard' } as const
  const response = problems(...routeErrors)
  const page = readOnce(() => readPage(root))
  const readOAuth = readOnce(() => readLibrary(root))
  app.get('/dashboard', { schema: { operationId: 'getDashboard', response }, config }, async (request, reply) => {
    const policy = contentSecurityPolicy(connectOrigins(findSignIn()))
    const { document } = await page()
    return sendFile({ ...document, etag: tagWith(document, policy) }, request, reply, policy)
  })
  const schema = {
    operationId: 'getDashboardPart',
    params: { type: 'object', properties: partParameters, required: Object.keys(partParameters) },
    response: problems(...routeErrors, 'not_found'),
  }
  app.get<{ Params: { folder: string; file: string } }>(
    '/dashboard/:folder/:file',
    { schema, config },
    async (request, reply) => {
      const { folder, file } = request.params
      const path = `${folder}/${file}`
      const part = path === library.path ? await readOAuth() : (await page()).parts.get(path)
      if (!part) throw new BrokerError('not_found', 'No endpoint has this path.')
      return sendFile(part, request, reply)
    },
  )
}

const partParameters = {
  folder: { type: 'string', description: 'A folder of the page.' },
  file: { type: 'string', description: 'A file in it that the page loads.' },
}

/** The document's tag: a browser that has the document under another policy must not keep that. */
const tagWith = ({ etag }: PageFile, policy: string): string => etagOf(etag + policy)

const partPolicy = contentSecurityPolicy([])

/** Sends a file, or 304 if the browser already has it. */
function sendFile(
  { type, content, etag }: PageFile,
  request: FastifyRequest,
  reply: FastifyReply,
  policy = partPolicy,
): FastifyReply {
  const known = request.headers['if-none-match']?.split(',').map(tag => tag.trim().replace(/^W\//, ''))
  reply.headers(headers).header('content-security-policy', policy).header('etag', etag)
  return known?.includes(etag) ? reply.code(304).send() : reply.type(type).send(content)
}
