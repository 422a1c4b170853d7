#!/bin/sh
# Prepares the root that states/dnf.py is recorded in: a debootstrap of Debian 12 with dnf, rpm, createrepo-c and
# dnf-plugins-core. Run in it (chroot, own namespaces for mounts, processes and the network, with `lo` up), it builds
# packages into /repo, writes the sources, and keeps databases of packages for /spec/restore.
set -e
mkdir -p /etc/rpm
rm -rf /repo /build; mkdir -p /repo/base /repo/extra /repo/web /build
pkg() { # repo name version release extra-lines...
  repo=$1 name=$2 version=$3 release=$4 arch=$5; shift 5
  { printf 'Name: %s\nVersion: %s\nRelease: %s\nSummary: The package %s\nLicense: MIT\nGroup: Applications/Text\nURL: http://%s.example.com/\nPackager: Someone <someone@example.com>\nVendor: Example\n' $name $version $release $name $name
    [ $arch = noarch ] && echo 'BuildArch: noarch'
    for line in "$@"; do echo "$line"; done
    printf '%%description\nWhat %s is.\nOn two lines.\n%%install\nmkdir -p %%{buildroot}/usr/share/%s %%{buildroot}/etc\necho %s > %%{buildroot}/usr/share/%s/data.%s-%s\necho setting > %%{buildroot}/etc/%s-%s.conf\n%%files\n/usr/share/%s\n%%config(noreplace) /etc/%s-%s.conf\n' $name $name $version $name $version $arch $name $arch $name $name $arch
  } > /build/$name.spec
  SOURCE_DATE_EPOCH=1700000000 rpmbuild -bb --quiet --target $arch --define "_topdir /build" --define "_rpmdir /repo/$repo" --define "_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm" \
    --define "_buildhost builder.example.com" --define "use_source_date_epoch_as_buildtime 1" --define "clamp_mtime_to_source_date_epoch 1" --nodeps /build/$name.spec
}
pkg base alpha 1.0 1 noarch; pkg base alpha 1.1 1 noarch; pkg base alpha 2.0 1 noarch
pkg base beta 0.5 1 noarch 'Epoch: 1' 'Requires: gamma >= 1.0'; pkg base beta 0.9 2 noarch 'Epoch: 1' 'Requires: gamma >= 1.2'
pkg base gamma 1.0 1 noarch; pkg base gamma 1.2 1 noarch
pkg base delta 1.0 1 noarch
pkg base epsilon 2.0 1 noarch 'Obsoletes: delta < 2' 'Provides: delta = 2'
pkg base broken 1.0 1 noarch 'Requires: nosuchthing'
pkg base foe 1.0 1 noarch 'Conflicts: alpha'
pkg base multi 1.0 1 noarch 'Provides: installonlypkg(kernel)'; pkg base multi 2.0 1 noarch 'Provides: installonlypkg(kernel)'
pkg base arched 1.0 1 x86_64; pkg base arched 1.0 1 i686; pkg base arched 1.1 1 x86_64; pkg base arched 1.1 1 i686
pkg base python3-dnf-plugin-versionlock 4.0 1 noarch
pkg base theta 1.0 1 noarch; pkg base iota 1.0 1 noarch 'Recommends: theta'
pkg extra zeta 1.0 1 noarch; pkg extra alpha 3.0 1 noarch
pkg extra local 1.0 1 noarch; pkg extra local 1.5 1 noarch
pkg web omega 1.0 1 noarch; pkg web psi 1.0 1 noarch
mkdir -p /local /srv/salt; mv /repo/extra/local-*.rpm /local; cp /local/local-1.0-1.noarch.rpm /srv/salt/local.rpm
cat > /build/comps.xml <<'X'
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE comps PUBLIC "-//Red Hat, Inc.//DTD Comps info//EN" "comps.dtd">
<comps>
 <group><id>tools</id><name>Some Tools</name><description>Tools that are needed.</description><default>true</default><uservisible>true</uservisible>
  <packagelist><packagereq type="mandatory">alpha</packagereq><packagereq type="mandatory">theta</packagereq><packagereq type="default">beta</packagereq><packagereq type="optional">iota</packagereq><packagereq type="conditional" requires="alpha">gamma</packagereq></packagelist></group>
 <group><id>more</id><name>More</name><description>Less needed.</description><default>false</default><uservisible>true</uservisible>
  <packagelist><packagereq type="default">iota</packagereq></packagelist></group>
 <environment><id>suite</id><name>The Suite</name><description>All of it.</description><display_order>1</display_order><grouplist><groupid>tools</groupid></grouplist><optionlist><groupid>more</groupid></optionlist></environment>
</comps>
X
cat > /build/updateinfo.xml <<'X'
<?xml version="1.0" encoding="UTF-8"?>
<updates>
 <update from="x@example.com" status="final" type="security" version="1"><id>EX-2024:0001</id><title>alpha</title><severity>Important</severity><issued date="2024-01-01 00:00:00"/><updated date="2024-01-02 00:00:00"/><description>A hole.</description><references/><pkglist><collection short="b"><name>b</name><package name="alpha" version="2.0" release="1" epoch="0" arch="noarch" src="alpha-2.0-1.src.rpm"><filename>alpha-2.0-1.noarch.rpm</filename></package></collection></pkglist></update>
 <update from="x@example.com" status="final" type="bugfix" version="1"><id>EX-2024:0002</id><title>gamma</title><issued date="2024-01-01 00:00:00"/><updated date="2024-01-02 00:00:00"/><description>A slip.</description><references/><pkglist><collection short="b"><name>b</name><package name="gamma" version="1.2" release="1" epoch="0" arch="noarch" src="gamma-1.2-1.src.rpm"><filename>gamma-1.2-1.noarch.rpm</filename></package></collection></pkglist></update>
 <update from="x@example.com" status="final" type="bugfix" version="1"><id>EX-2023:0003</id><title>theta</title><issued date="2023-01-01 00:00:00"/><updated date="2023-01-02 00:00:00"/><description>Old.</description><references/><pkglist><collection short="b"><name>b</name><package name="gamma" version="1.0" release="1" epoch="0" arch="noarch" src="gamma-1.0-1.src.rpm"><filename>gamma-1.0-1.noarch.rpm</filename></package></collection></pkglist></update>
</updates>
X
createrepo_c -q --groupfile /build/comps.xml /repo/base
modifyrepo_c --mdtype=updateinfo /build/updateinfo.xml /repo/base/repodata > /dev/null
createrepo_c -q /repo/extra
createrepo_c -q /repo/web
cat > /etc/dnf/dnf.conf <<'X'
[main]
gpgcheck=0
installonly_limit=3
clean_requirements_on_remove=True
best=True
skip_if_unavailable=False
installonlypkgs=multi
X
echo '%_dbpath /var/lib/rpm' > /etc/rpm/macros; rm -rf /root/.rpmdb /usr/lib/python3/dist-packages/dnf-plugins/local.py
rm -f /etc/yum.repos.d/*; mkdir -p /etc/yum.repos.d /etc/dnf/vars
cat > /etc/yum.repos.d/base.repo <<'X'
# What is needed.
[base]
name=Base $releasever
baseurl=file:///repo/base
enabled=1
gpgcheck=0

[base-old]
name=Old Base
baseurl=file:///repo/none
enabled=0
X
cat > /etc/yum.repos.d/extra.repo <<'X'
[extra]
name=Extra
baseurl=file:///repo/extra
enabled=0
gpgcheck=0

[web]
name=Web
baseurl=http://127.0.0.1/web
enabled=0
X
echo 9 > /etc/dnf/vars/releasever
rm -rf /saved; mkdir /saved
rm -rf /var/lib/rpm; mkdir -p /etc/rpm; rpm --initdb
save() { rm -rf /saved/$1; mkdir -p /saved/$1; cp -a /var/lib/rpm /saved/$1/rpm; cp -a /var/lib/dnf /saved/$1/dnf; mkdir -p /etc/dnf/plugins; cp -a /etc/dnf/plugins /saved/$1/plugins; }
rm -rf /var/cache/dnf /var/lib/dnf/*
save empty
dnf -y -q install alpha-1.0-1 beta-0.5-1 gamma-1.0-1 delta-1.0-1 --setopt=obsoletes=0 arched-1.0-1.x86_64 arched-1.0-1.i686 multi-1.0 multi-2.0 python3-dnf-plugin-versionlock
save some
rpm -qa
mkdir -p /spec /opt/rpmlib
ln -sfn /usr/lib/python3/dist-packages/rpm /opt/rpmlib/rpm
cat > /spec/restore <<'X'
#!/bin/sh
# Puts a saved database of packages back.
rm -rf /var/lib/rpm /var/lib/dnf /etc/dnf/plugins
cp -a /saved/$1/rpm /var/lib/rpm; cp -a /saved/$1/dnf /var/lib/dnf; cp -a /saved/$1/plugins /etc/dnf/plugins
[ "$2" = cold ] && rm -rf /var/cache/dnf/*
exit 0
X
chmod +x /spec/restore
