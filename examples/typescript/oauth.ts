// A standard OAuth library: client credentials with the workload's own token as client assertion (RFC 7523 §2.2).
import { readFile } from 'node:fs/promises'
import * as oauth from 'openid-client'
import { show } from './show.ts'

const { BROKER = '', TENANT = '', TOKEN_FILE = '' } = process.env

/** Authenticates the client. openid-client calls this for every request. */
const ownToken: oauth.ClientAuth = async (_as, _client, body) => {
  body.set('client_assertion_type', 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer')
  body.set('client_assertion', (await readFile(TOKEN_FILE, 'utf8')).trim())
}

await show({
  getToken: async scope => {
    const config = await oauth.discovery(new URL(BROKER), 'unused', undefined, ownToken, { algorithm: 'oauth2' })
    const { access_token: token } = await oauth.clientCredentialsGrant(config, { tenant: TENANT, scope })
    return { token }
  },
})
