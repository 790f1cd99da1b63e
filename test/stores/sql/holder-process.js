// A process that acquires a lock and holds it until it is killed. Arguments: a target of connect.js, and the table.
import { SqlCertCache } from 'acme-cert-cache/sql'
import { connectTo } from './connect.js'

const [target, table] = process.argv.slice(2)
const { database } = await connectTo(JSON.parse(String(target)))
const lock = await new SqlCertCache(database, { table: String(table) }).tryLock('a.example')
process.stdout.write(lock ? 'held\n' : 'not held\n')
setInterval(() => {}, 1_000)
