import { resolve } from 'node:path'
import { type Command, stringFlag } from '../console/arguments.js'
import { UsageError } from '../console/errors.js'
import { writePrivateFiles } from '../console/files.js'
import { formatMinute } from '../console/format.js'
import { matchesHost } from '../container/certificate-details.js'
import { connect } from '../container/connection.js'
import { requireCertificate } from '../container/stored-certificate.js'
import { parseTarget, targetFlags } from '../flags/target.js'

export const exportCertificate: Command = {
  usage: 'export HOST --key FILE --chain FILE [flags]',
  summary: 'a host’s private key and chain, to files',
  details: `The files are replaced, with mode 0600. A certificate for another host, or outside its time, is written all the
same, with a note; one whose key does not match, or that can't be read, is refused, and the exit code is 1.`,
  operands: [1, 1],
  flags: {
    ...targetFlags,
    key: { value: 'FILE', help: 'where the private key goes; required' },
    chain: { value: 'FILE', help: 'where the chain goes, leaf first; required' },
  },
  async run(args, terminal) {
    const target = parseTarget(args)
    const [keyFile, chainFile] = [stringFlag(args, 'key'), stringFlag(args, 'chain')]
    if (keyFile === undefined || chainFile === undefined) throw new UsageError('--key and --chain are needed')
    if (resolve(keyFile) === resolve(chainFile)) {
      throw new UsageError('--key and --chain are one file: show --with-key writes both into one')
    }
    const { bundle, certificate } = await requireCertificate(await connect(args), target)
    await writePrivateFiles({ file: keyFile, data: bundle.key }, { file: chainFile, data: bundle.chain })
    terminal.printNote(`${keyFile}: private key\n${chainFile}: chain`)
    if (!matchesHost(certificate, target.host)) {
      terminal.printNote(
        `not for ${target.host}: the certificate is for ${certificate.names.join(', ') || 'no name'}`,
      )
    }
    if (certificate.notAfter <= Date.now())
      terminal.printNote(`expired ${formatMinute(new Date(certificate.notAfter))}`)
    if (certificate.notBefore > Date.now())
      terminal.printNote(`not valid before ${formatMinute(new Date(certificate.notBefore))}`)
    return 0
  },
}
