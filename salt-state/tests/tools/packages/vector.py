"""Makes the vector of tests/it/state_modules/packages.rs: vector.py CASES SALT OURS > packages.json

What came of each call is Salt's, the answers of the programs are those that we got.
"""
import json,sys
def load(f): return {r['case']:r for r in json.load(open(f))}
TEST="alpha beta gamma delta epsilon virt zeta failing rec needs loc corrupt a-package-with-a-long-name eta theta".split()
sets=[(json.load(open(sys.argv[1])),load(sys.argv[2]),load(sys.argv[3]))]
answers=[];index={};cases=[];seen=set();skipped={}
def even(t):
    if isinstance(t,str) and 'Traceback (most recent call last):' in t:
        h,r=t.split('Traceback (most recent call last):',1)
        return h+'Traceback (most recent call last):\n'+r.strip().splitlines()[-1]+'\n'
    return t
def short(k):
    a,o=k['argv'],k['out']
    if a[:2]==['dpkg-query','--showformat']: o=''.join(l+'\n' for l in o.splitlines() if l.split(' ')[3] in TEST)
    if a[:3]==['dpkg','--get-selections','*']: o=''.join(l+'\n' for l in o.splitlines() if l.split()[0] in TEST)
    if a[:2]==['apt-get','-q'] and '--just-print' not in a: o=''
    if '--just-print' in a: o=''.join(l+'\n' for l in o.splitlines() if l[:5] in('Inst ','Conf ','Remv ','Purg '))
    return [[x for x in a if x!='--'],o,k['err'],k['rc']]
for C,S,O in sets:
    for i,c in enumerate(C):
        if 'state' not in c: continue
        why=None
        if c.get('lock'): why='lock'
        elif c['args'].get('sources'): why='files'
        elif c['state']=='pkg.downloaded': why='cache'
        elif i not in S or i not in O: why='not recorded'
        elif c['args'].get('debconf'): why='debconf'
        elif c['args']['name']=='corrupt': why='date'
        if why: skipped.setdefault(why,[]).append(i); continue
        key=json.dumps([c['state'],c['args'],c.get('given'),c.get('hold'),c.get('sh')],sort_keys=True)
        if key in seen: continue
        seen.add(key)
        steps=[]
        for m in ('test','apply','again'):
            s=S[i].get(m); o=O[i].get(m)
            if not s or not o or 'return' not in s: continue
            cmds=[]
            for k in o['commands']:
                q=json.dumps(short(k))
                if q not in index: index[q]=len(answers); answers.append(q)
                cmds.append(index[q])
            r=s['return']
            steps.append({"mode":m,"result":r['result'],"comment":even(r['comment']),"changes":r['changes'],"commands":cmds})
        x={k:c[k] for k in ('state','args','given','hold','sh') if c.get(k)}
        x['steps']=steps; cases.append(x)
text='{"answers": [\n'+',\n'.join(answers)+'\n], "cases": [\n'+',\n'.join(json.dumps(c) for c in cases)+'\n]}\n'
sys.stdout.write(text)
print(len(cases),sum(len(c['steps']) for c in cases),{k:len(v) for k,v in skipped.items()},file=sys.stderr)
