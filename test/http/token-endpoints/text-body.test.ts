import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { startWorld } from '../../support/broker.ts'
import { endpointRows, errorIn, expectedError, tokenEndpointsOf } from '../../support/token-endpoints.ts'

const world = await startWorld()
const broker = await world.broker({ after })
const endpoints = await tokenEndpointsOf(world, broker)
const compressed = await tokenEndpointsOf(world, broker, {}, body => gzipSync(body).toString('latin1'))

const rows: readonly (readonly [why: string, parameters: string, coding: string | undefined, isRead: boolean])[] = [
  ['no charset: UTF-8', '', undefined, true],
  ['UTF-8', '; charset=utf-8', undefined, true],
  ['UTF-8 in upper case', '; charset=UTF-8', undefined, true],
  ['UTF-8 in quotes, the name in upper case', ';CHARSET="Utf-8"', undefined, true],
  ['UTF-8 without its hyphen', ';charset=utf8', undefined, true],
  ['US-ASCII, a subset of UTF-8', '; charset=us-ascii', undefined, true],
  ['another parameter', '; x=y; charset=utf-8; z="a"', undefined, true],
  ['identity: no coding', '', 'identity', true],
  ['identity in upper case', '', 'Identity', true],
  ['UTF-16, which would be read as other letters', '; charset=utf-16', undefined, false],
  ['UTF-7, in which a letter has two forms', '; charset=utf-7', undefined, false],
  ['Latin 1', '; charset=iso-8859-1', undefined, false],
  ['a charset that only begins with a good one', '; charset=utf-8x', undefined, false],
  ['UTF-16 in quotes', '; charset="utf-16"', undefined, false],
  ['a quote that is not closed', '; charset="utf-8', undefined, false],
  ['two charsets, of which a proxy might take the other', '; charset=utf-8; charset=utf-16', undefined, false],
  ['a charset hidden in a parameter', '; x="; charset=utf-8"; charset=utf-16', undefined, false],
  ['an extended parameter (RFC 8187)', "; charset*=utf-8''utf-16", undefined, false],
  ['an empty charset', '; charset=', undefined, false],
  ['an empty charset in quotes', '; charset=""', undefined, false],
  ['gzip, which is not decoded', '', 'gzip', false],
  ['a coding in upper case', '', 'GZIP', false],
  ['a list of codings', '', 'identity, gzip', false],
  ['an empty coding', '', '', false],
]
for (const { endpoint, send } of endpointRows) {
  const { mediaType } = endpoint.body ?? {}
  if (mediaType === undefined) continue
  const { error } = expectedError(endpoint, 'unsupported_media_type')
  describe(`a body of ${endpoint.path} that says: `, () => {
    for (const [why, parameters, coding, isRead] of rows)
      test(why, async () => {
        const headers = {
          'content-type': `${mediaType}${parameters}`,
          ...(coding !== undefined && { 'content-encoding': coding }),
        }
        const reply = await send(endpoints, { headers })
        if (isRead) assert.equal(reply.status, 200, reply.text)
        else assert.equal(errorIn(reply), error, reply.text)
      })

    test('gzip, and is', async () => {
      const headers = { 'content-type': mediaType, 'content-encoding': 'gzip' }
      const reply = await send(compressed, { headers })
      assert.equal(errorIn(reply), error, reply.text)
    })
  })
}
