// A credential for all clients of the Azure SDK in ten lines without a library, for programs whose code you can change.
import { readFile } from 'node:fs/promises'
import { show } from './show.ts'

const { BROKER = '', TENANT = '', TOKEN_FILE = '' } = process.env

export const brokerCredential = {
  async getToken(scope: string | string[]) {
    const response = await fetch(`${BROKER}/tokens`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${(await readFile(TOKEN_FILE, 'utf8')).trim()}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({ tenant: TENANT, scope: [scope].flat()[0] }),
    })
    const body = await response.json()
    if (!response.ok) throw new Error(`${body.code}: ${body.detail} (request_id ${body.request_id})`)
    return { token: body.access_token, expiresOnTimestamp: body.expires_on * 1000 }
  },
}

await show(brokerCredential)
