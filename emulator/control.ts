import type { IncomingMessage, ServerResponse } from 'node:http'
import type { CallerTokenOptions } from './callers.ts'
import { parseFault } from './faults.ts'
import { type Reply, json, readBody, send } from './http.ts'
import type { Json } from './jws.ts'
import { parseSettings } from './settings.ts'
import { integer, listOf, field, fields, oneOf, text, truth } from './validate.ts'
import type { World } from './world.ts'

type Action = (body: unknown, world: World) => Reply | Promise<Reply>

const actions: Readonly<Record<string, Action>> = {
  'GET /control': (_, world) => json(200, state(world)),
  'PUT /control/faults': setFaults,
  'DELETE /control/faults': (_, world) => {
    world.faults.clear()
    return json(200, { faults: [] })
  },
  'POST /control/caller-token': mintCallerToken,
  'POST /control/rotate': async (body, world) => {
    const options = field(fields(body, 'rotate', ['drop']), 'drop', truth)
    return json(200, { kid: await world.callers.rotate(options) })
  },
  'PUT /control/settings': (body, world) => {
    world.settings = { ...world.settings, ...parseSettings(body) }
    return json(200, world.settings)
  },
}

/** Whether a path belongs to the control endpoint. */
export function isControl(url: URL): boolean {
  return url.pathname === '/control' || url.pathname.startsWith('/control/')
}

/** Serves `/control…`, which reads and changes the emulator. For tools on this machine only; web pages are refused. */
export async function routeControl(
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
  world: World,
): Promise<void> {
  const body = await readBody(request)
  if (isFromElsewhere(request))
    return send(response, problem(403, '/control is for tools on this machine; requests from browsers are refused'))
  if (body === undefined) return send(response, problem(413, 'the body must not exceed 64 KiB'))
  send(response, await act(`${request.method} ${url.pathname}`, body, world))
}

/** A web page sends `Origin` or, after DNS rebinding, another host name. */
export function isFromElsewhere(request: IncomingMessage): boolean {
  return request.headers.origin !== undefined || !/^(127\.0\.0\.1|localhost)(:\d+)?$/.test(request.headers.host ?? '')
}

async function act(name: string, body: string, world: World): Promise<Reply> {
  const action = Object.hasOwn(actions, name) ? actions[name] : undefined
  if (!action) return problem(404, `${name} not found; available: ${Object.keys(actions).join(', ')}`)
  try {
    return await action(body === '' ? {} : JSON.parse(body), world)
  } catch (error) {
    if (error instanceof SyntaxError) return problem(400, 'the body must be JSON')
    if (error instanceof TypeError) return problem(400, error.message)
    throw error
  }
}

function problem(status: number, message: string): Reply {
  return json(status, { error: message })
}

function state(world: World): object {
  const { entraUrl, localUrl, settings, faults, traffic } = world
  return {
    urls: {
      entra: entraUrl,
      local: localUrl,
      identityEndpoint: `${localUrl}/msi/token`,
      callerIssuer: `${localUrl}/callers`,
    },
    settings,
    faults: faults.list(),
    counts: traffic.counts(),
  }
}

function setFaults(body: unknown, world: World): Reply {
  const faults = listOf(parseFault)(body, 'faults')
  const lockedOut = faults.some(({ kind, at }) => kind === 'refused' && (at === 'identity' || at === 'callers'))
  if (lockedOut)
    throw new TypeError("kind: 'refused' at 'identity' or 'callers' would also close /control; use 'reset' instead")
  world.faults.clear()
  for (const fault of faults) world.faults.add(fault)
  return json(200, { faults: world.faults.list() })
}

async function mintCallerToken(body: unknown, world: World): Promise<Reply> {
  const given = fields(body, 'caller-token', ['claims', 'options'])
  const { claims } = field(given, 'claims', anyObject)
  const { options } = field(given, 'options', callerTokenOptions)
  return json(200, { token: await world.callers.mint(claims, options) })
}

function anyObject(value: unknown, at: string): Json {
  return fields(value, at)
}

function callerTokenOptions(value: unknown, at: string): CallerTokenOptions {
  const given = fields(value, at, ['header', 'expiresIn', 'key', 'issuer', 'audience', 'omit'])
  return {
    ...field(given, 'header', anyObject),
    ...field(given, 'expiresIn', integer(-86_400, 86_400)),
    ...field(given, 'key', oneOf(['current', 'foreign', 'retired'] as const)),
    ...field(given, 'issuer', text),
    ...field(given, 'audience', text),
    ...field(given, 'omit', listOf(text)),
  }
}
