"""Passwords that everybody tries first. Shorter ones need no listing: they are refused by their length."""

from typing import Final

_WORDS: Final = """
00112233 01234567 0123456789 11111111 11112222 11223344 1122334455 12121212 12341234 123123123 123321123 1234554321
123456123456 12345678 123456789 1234567890 12345678910 123456789a 123456789q 1234567891 12345678a 12345678q 12344321
1234qwer 1234abcd 12qwaszx 147258369 159753159 1a2b3c4d 1q2w3e4r 1q2w3e4r5t 1q2w3e4r5t6y 1qaz2wsx 1qaz2wsx3edc 1qazxsw2
20202020 22446688 31415926 3141592654 789456123 87654321 88888888 987654321 9876543210 99887766 a1b2c3d4 a123456789
aa123456 aa12345678 aaaa1111 abc12345 abcd1234 abcd12345 abcdefgh abcdefg1 abcdefghi access14 adminadmin admin123
admin1234 admin12345 administrator alexander asdasdasd asdf1234 asdfasdf asdfghjk asdfghjkl azertyuiop babygirl
baseball basketball bigdaddy butterfly changeme changeme1 changeme123 changeit chocolate christmas computer corvette
creative december default1 diamond1 dragon123 drowssap elephant elizabeth einstein facebook football football1
freedom1 garfield goodluck google123 grandmother guest123 hello123 helloworld hunter12 iloveyou iloveyou1 iloveyou2
internet jennifer jonathan keystead keystead1 keystead123 letmein1 letmein123 liverpool login123 lollipop loveyou1
manchester marlboro maverick mercedes metallica michelle microsoft midnight minecraft monkey123 mustang1 nicholas
november nothing1 october1 p4ssw0rd p4ssword p@ssw0rd p@ssw0rd1 p@ssword pa$$w0rd pa$$word pass1234 passpass passw0rd
passw0rd1 password password! password. password0 password01 password1 password1! password10 password11 password12
password123 password123! password1234 password2 password2024 password2025 password3 password9 passwort passwort1
playstation poiuytrewq pokemon1 porsche911 princess princess1 q1w2e3r4 q1w2e3r4t5 qazwsxedc qazwsx123 qwaszx12
qwer1234 qwerasdf qwerqwer qwert123 qwert12345 qwertyui qwertyuiop qwerty12 qwerty123 qwerty1234 qwerty12345
qwertz123 qwertzuiop rockstar samantha samsung1 scorpion secret12 secret123 september snowball spiderman starwars
starwars1 steelers summer2024 summer2025 sunshine sunshine1 superman superman1 superuser swordfish test1234 testtest
testing1 testing123 thunder1 trustno1 trustno1! undertaker unknown1 user1234 victoria volleyball waterfall welcome1
welcome1! welcome12 welcome123 welcome2024 welcome2025 whatever whatever1 william1 winter2024 winter2025 wordpass
xxxxxxxx yellow12 zaq12wsx zaq1xsw2 zxcvbnm1 zxcvbnm123 zxcvbnma
"""

VERY_COMMON: Final = frozenset(_WORDS.split())
"""In lower case, as they are compared."""
