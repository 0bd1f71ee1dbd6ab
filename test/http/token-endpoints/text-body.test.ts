import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { sample } from '../../../emulator/options.ts'
import { graph, type Reply, send, startWorld } from '../../support/broker.ts'
import { encode, jwtBearer } from '../../support/dialects.ts'

const world = await startWorld()
const broker = await world.broker({ after })
const token = await world.emulator.mintCallerToken()
const assertion = {
  grant_type: 'client_credentials',
  scope: graph,
  client_assertion: token,
  client_assertion_type: jwtBearer,
}
const json = 'application/json'
const form = 'application/x-www-form-urlencoded'
/** Every endpoint that reads a body, with a good one, and what it answers where it cannot read it. */
const endpoints = [
  ['/tokens', json, JSON.stringify({ tenant: 'contoso', scope: graph }), 'unsupported_media_type'],
  ['/oauth2/token', form, encode({ ...assertion, tenant: 'contoso' }), 'invalid_request'],
  ['/contoso/oauth2/v2.0/token', form, encode({ ...assertion, client_id: sample.application }), 'invalid_request'],
] as const
const authorization = { authorization: `Bearer ${token}` }
const told = ({ status, json: { error, code } }: Reply) => [status, error ?? code]
const isJson = (type: string) => type === json

const rows: readonly (readonly [why: string, parameters: string, coding: string | undefined, isRead: boolean])[] = [
  ['nothing said: UTF-8', '', undefined, true],
  ['UTF-8', '; charset=utf-8', undefined, true],
  ['UTF-8 in upper case', '; charset=UTF-8', undefined, true],
  ['UTF-8 in quotes, the name in upper case', ';CHARSET="Utf-8"', undefined, true],
  ['UTF-8 as many write it', ';charset=utf8', undefined, true],
  ['a part of UTF-8', '; charset=us-ascii', undefined, true],
  ['another parameter', '; x=y; charset=utf-8; z="a"', undefined, true],
  ['no coding, said', '', 'identity', true],
  ['no coding, in upper case', '', 'Identity', true],
  ['UTF-16, which would be read as other letters', '; charset=utf-16', undefined, false],
  ['UTF-7, in which a letter has two forms', '; charset=utf-7', undefined, false],
  ['Latin 1', '; charset=iso-8859-1', undefined, false],
  ['what only begins with a good one', '; charset=utf-8x', undefined, false],
  ['UTF-16 in quotes', '; charset="utf-16"', undefined, false],
  ['a quote that is not closed', '; charset="utf-8', undefined, false],
  ['two charsets, of which a proxy might take the other', '; charset=utf-8; charset=utf-16', undefined, false],
  ['one hidden in a parameter', '; x="; charset=utf-8"; charset=utf-16', undefined, false],
  ['an extended parameter (RFC 8187)', "; charset*=utf-8''utf-16", undefined, false],
  ['an empty charset', '; charset=', undefined, false],
  ['an empty charset in quotes', '; charset=""', undefined, false],
  ['gzip, which is not undone', '', 'gzip', false],
  ['a coding in upper case', '', 'GZIP', false],
  ['a list of codings', '', 'identity, gzip', false],
  ['an empty coding', '', '', false],
]
for (const [path, type, body, code] of endpoints)
  describe(`a body of ${path} that says: `, () => {
    for (const [why, parameters, coding, isRead] of rows)
      test(why, async () => {
        const headers = {
          'content-type': `${type}${parameters}`,
          ...(coding !== undefined && { 'content-encoding': coding }),
          ...(isJson(type) && authorization),
        }
        const reply = await send(broker.url, { path, method: 'POST', headers, body })
        assert.deepEqual(told(reply), isRead ? [200, undefined] : [415, code], reply.text)
      })

    test('gzip, and is', async () => {
      const headers = {
        'content-type': type,
        'content-encoding': 'gzip',
        ...(isJson(type) && authorization),
      }
      const reply = await send(broker.url, { path, method: 'POST', headers, body: gzipSync(body).toString('latin1') })
      assert.deepEqual(told(reply), [415, code], reply.text)
    })
  })
