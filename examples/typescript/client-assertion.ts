// Without the AZURE_ variables: the client assertion is the workload's own token.
import { readFile } from 'node:fs/promises'
import { ClientAssertionCredential } from '@azure/identity'
import { show } from './show.ts'

const { BROKER = '', TENANT = '', CLIENT_ID = '', TOKEN_FILE = '' } = process.env
const ownToken = () => readFile(TOKEN_FILE, 'utf8')
const options = { authorityHost: BROKER, disableInstanceDiscovery: true }

await show(new ClientAssertionCredential(TENANT, CLIENT_ID, ownToken, options))
