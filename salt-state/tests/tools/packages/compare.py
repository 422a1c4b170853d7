"""Shows where two recordings differ: compare.py CASES SALT[,SALT…] OURS[,OURS…]"""
import json,sys,re
cases=json.load(open(sys.argv[1])); 
def load(fs):
    d={}
    for f in fs.split(','):
        try:
            for r in json.load(open(f)): d[r['case']]=r
        except Exception as e: print('#',f,e)
    return d
S=load(sys.argv[2]); O=load(sys.argv[3]); n=same=0
def norm(v):
    v={k:x for k,x in v.items() if k not in('commands','retcode')}
    t=json.dumps(v,sort_keys=True)
    t=re.sub(r'Traceback \(most recent call last\):((?!", ").)*\\n([A-Za-z_.]+: )',r'Traceback: \2',t)
    t=re.sub(r'held by process \d+','held by process N',t); t=re.sub(r'20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ?','TIME',t); t=re.sub(r'"creation_date_time_t": \d+','CT',t)
    return t
for i,c in enumerate(cases):
    if i not in S or i not in O: continue
    for m in ('test','apply','again','call'):
        if m not in S[i]: continue
        n+=1
        a,b=S[i][m],O[i].get(m,{})
        ok=norm(a)==norm(b) if 'return' in a else a.get('text','') in (b.get('text') or json.dumps(b.get('return'),ensure_ascii=False).replace('\\n','\n')) if a.get('text') else False
        if ok: same+=1; continue
        print(i,m,c.get('state') or c.get('call'),json.dumps(c.get('args')),c.get('kwargs') or '','given',c.get('given'),'hold',c.get('hold'),(c.get('sh') or '')[:80],'LOCK' if c.get('lock') else '')
        print('   salt',norm(a)[:1500], a.get('retcode') or ''); print('   ours',norm(b)[:1500],b.get('retcode') or '')
print(same,'of',n,'same')
